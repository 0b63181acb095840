"""`profile` and `experts`: what is saved, what is printed, what is drawn."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from unittest import mock

import pytest

from ostinato.cli.main import main
from tests.cli.support import call
from tests.support import BUILTIN
from tools.tiny_models import write_tiny_model

MODEL = str(BUILTIN)
SIZES = ("--context", "96", "--threads", "2", "--backend", "cpu")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("experts") / "text.txt"
    path.write_text("What is the capital of France? The capital of France is Paris.\n" * 12)
    return path


@pytest.fixture(scope="module")
def saved(text: Path) -> Path:
    path = text.with_name("profile.json")
    assert main(["profile", MODEL, str(text), str(text), "-o", str(path), *SIZES]) == 0
    return path


def test_a_profile_counts_every_choice_of_every_token(text: Path, saved: Path) -> None:
    tokens = len(call("tokenize", MODEL, "-", "--special", stdin=text.read_bytes()).stdout.split())
    stacks = json.loads(saved.read_text())["stacks"]
    assert [stack["layer"] for stack in stacks] == [0, 1, 2, 3]
    assert all(sum(stack["counts"]) == 2 * 2 * tokens for stack in stacks), "two files, two experts a token"
    said = call("profile", MODEL, "-", "-o", str(saved.with_name("other.json")), *SIZES, stdin=text.read_bytes()).stdout
    assert said.endswith(f"4 layers of 8 experts, as {tokens} tokens wanted them\n")


def test_experts_of_a_text_and_of_its_profile_agree(text: Path, saved: Path) -> None:
    measured = json.loads(call("experts", MODEL, str(text), str(text), "--json", *SIZES).stdout)["layers"]
    known = json.loads(call("experts", MODEL, "--profile", str(saved), "--json").stdout)["layers"]
    assert [layer["counts"] for layer in measured] == [layer["counts"] for layer in known]
    assert [layer["entropy_bits"] for layer in measured] == [layer["entropy_bits"] for layer in known]
    assert set(measured[1]["hits"]) == {"0.5", "0.25", "0.125"}
    assert 0.25 < measured[1]["follows"] <= 1
    assert measured[0]["follows"] is None
    assert 0.4 < measured[2]["foreseen"] <= 1
    assert known[0]["hits"] == {}


def test_the_table_is_for_people(text: Path, saved: Path) -> None:
    lines = call("experts", MODEL, str(text), *SIZES).stdout.splitlines()
    assert lines[0].startswith("4 layers of 8 experts, 2 of them a token")
    assert lines[1].split()[0] == "LAYER"
    assert "FOLLOWS" in lines[1]
    assert len(lines) == 6
    cells = [line.split()[-1] for line in lines[2:]]
    assert all(len(line) == 8 and "█" in line for line in cells)
    short = call("experts", MODEL, "--profile", str(saved)).stdout
    assert "FOLLOWS" not in short
    assert "HIT AT" not in short


@pytest.mark.parametrize(("columns", "cells"), [(100, 8), (40, 8), (12, 4)])
def test_a_narrow_terminal_has_the_uses_below(saved: Path, columns: int, cells: int) -> None:
    seen = mock.patch.multiple("ostinato.cli.experts", is_terminal=lambda: True, columns=lambda: columns)
    with seen:
        lines = call("experts", MODEL, "--profile", str(saved)).stdout.splitlines()
    assert len(lines) == (6 if columns == 100 else 12)
    assert ("TOP 1/4" in lines[-5]) == (columns == 100)
    assert all(len(line.split()[-1]) == cells for line in lines[-4:])


def test_what_is_refused(text: Path, saved: Path, tmp_path: Path) -> None:
    dense = tmp_path / "dense.gguf"
    write_tiny_model(dense)
    assert call("experts", MODEL).returncode == 2
    assert call("experts", MODEL, str(text), "--profile", str(saved)).returncode == 2
    ignored = call("experts", MODEL, "--profile", str(saved), "--memory", "50%", "--policy", "lru")
    assert (ignored.returncode, ignored.stdout) == (2, "")
    assert "--memory, --policy would change nothing: a saved profile" in ignored.stderr
    assert "is one of .png" in call("experts", MODEL, str(text), "--plot", "map.bmp").stderr
    assert "has no experts" in call("experts", str(dense), str(text)).stderr
    assert "has no experts" in call("experts", str(dense), "--profile", str(saved)).stderr
    assert "is empty" in call("profile", MODEL, "/dev/null", "-o", str(tmp_path / "p")).stderr
    assert not (tmp_path / "p").exists()
    done = call("experts", MODEL, str(text), "--backend", "null")
    assert "--backend cpu does" in done.stderr
    assert done.returncode == 1


def test_drawing_without_matplotlib_says_what_to_install(saved: Path, tmp_path: Path) -> None:
    with mock.patch.dict(sys.modules, {"matplotlib": None}):
        done = call("experts", MODEL, "--profile", str(saved), "--plot", str(tmp_path / "map.png"))
    assert "pip install 'ostinato[plot]'" in done.stderr
    assert done.stdout == "", "it says so before anything is measured"


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="drawing needs matplotlib (extra: plot)")
@pytest.mark.parametrize("kind", ["png", "svg"])
def test_a_drawing(text: Path, saved: Path, tmp_path: Path, kind: str) -> None:
    for name, words in (("text", (str(text), *SIZES)), ("profile", ("--profile", str(saved)))):
        path = tmp_path / f"{name}.{kind}"
        assert call("experts", MODEL, *words, "--plot", str(path)).returncode == 0
        start = path.read_bytes()[:8]
        assert start == b"\x89PNG\r\n\x1a\n" if kind == "png" else start.startswith(b"<?xml")
