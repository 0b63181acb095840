"""The tables as C++ and JSON: they compile, and say the same."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ostinato.backends import batch_table
from ostinato.gguf.types_table import TensorType
from ostinato.program.ops_table import BY_NAME, OPCODE
from tests.support import ROOT


@pytest.fixture(scope="module")
def emitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made by a bare interpreter: the build runs it before anything is installed."""
    folder = tmp_path_factory.mktemp("tables")
    command = [sys.executable, "-I", "-S", ROOT / "tools" / "emit.py"]
    subprocess.run([*command, "--cpp", folder / "tables.h", "--json", folder / "tables.json"], check=True)
    return folder


def test_json(emitted: Path) -> None:
    tables = json.loads((emitted / "tables.json").read_text())
    assert {name: op["opcode"] for name, op in tables["ops"].items()} == dict(OPCODE)
    assert tables["types"]["Q4_K"] == [256, 144]
    assert tables["records"]["Span"] == list(batch_table.SPAN.words)
    assert set(tables["enums"]["TensorType"]) == {t.name for t in TensorType}


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ here")
def test_cpp(emitted: Path, tmp_path: Path) -> None:
    """The header checks its own sizes; a program checks words and opcodes against the table."""
    checks = "".join(
        f"static_assert(op::kWords[{OPCODE[name]}] == {op.words} && "
        f"sizeof(op::{''.join(p.capitalize() for p in name.split('_'))}) == {4 * op.words});\n"
        for name, op in BY_NAME.items()
    )
    source = tmp_path / "check.cpp"
    source.write_text(f'#include "tables.h"\nusing namespace ostinato;\n{checks}int main() {{}}\n')
    subprocess.run(["g++", "-std=c++20", "-fsyntax-only", f"-I{emitted}", source], check=True)
