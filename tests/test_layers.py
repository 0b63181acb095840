"""Each folder of the package imports only from itself and from those above it (README, the tree)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.support import ROOT

PACKAGE = ROOT / "src" / "ostinato"
LAYERS = (
    "gguf", "quantize", "model", "convert", "program", "passes", "memory", "backends", "engine", "templates", "server",
    "cli",
)  # fmt: skip
SHARED = {"text", "marks", "chat", "api", "perplexity"}  # modules beside the folders, over the engine
BENEATH = {"files"}  # and under them all: it needs the standard library only
BELOW_THE_API = LAYERS[: LAYERS.index("server")]


def imported(path: Path) -> set[str]:
    """Second components of every `ostinato.X` that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if node.module != "ostinato" else [f"ostinato.{a.name}" for a in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("ostinato.")}
    return {name for name in found if not name.startswith("_")}


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_point_upwards(layer: str) -> None:
    allowed = set(LAYERS[: LAYERS.index(layer) + 1]) | BENEATH | (set() if layer in BELOW_THE_API else SHARED)
    for path in (PACKAGE / layer).rglob("*.py"):
        assert imported(path) <= allowed, f"{path.relative_to(ROOT)} imports {imported(path) - allowed}"


@pytest.mark.parametrize("module", sorted(BENEATH))
def test_what_lies_beneath_imports_nothing_of_ours(module: str) -> None:
    assert imported(PACKAGE / f"{module}.py") == set()


def test_every_folder_is_a_layer() -> None:
    folders = {p.name for p in PACKAGE.iterdir() if p.is_dir() and any(p.glob("*.py"))}
    assert folders == set(LAYERS)


@pytest.mark.parametrize("table", sorted(PACKAGE.rglob("*_table.py")), ids=lambda p: p.stem)
def test_tables_need_nothing_but_the_standard_library(table: Path) -> None:
    """The build reads them before anything is installed (tests/tools/test_emit.py runs it so)."""
    assert "numpy" not in table.read_text().replace("NumPy", "")
