"""`ostinato convert`."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from ostinato.cli.convert import TYPES as OFFERED
from ostinato.convert.types import AUTO, TYPES
from tests.cli.support import call, heard
from tests.convert.checkpoints import checkpoint


def test_convert_and_show(tmp_path: Path) -> None:
    folder, output = checkpoint(tmp_path / "hf"), tmp_path / "out.gguf"
    done = call("convert", str(folder), str(output), "--no-tokenizer", "--type", "Q8_0", "--name", "Small one")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{output}: llama, 21 tensors, ")
    shown = call("show", str(output)).stdout
    assert "Small one" in shown
    assert "llama" in shown


def test_errors_are_one_line(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "hf")
    for words in (
        (str(tmp_path / "gone"), str(tmp_path / "out.gguf")),
        (str(folder), str(tmp_path / "out.gguf")),
        (str(folder), str(tmp_path / "no" / "out.gguf"), "--no-tokenizer"),
        (str(folder), str(tmp_path), "--no-tokenizer"),
    ):
        done = call("convert", *words)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]


def test_types_offered_are_those_there_are() -> None:
    assert (AUTO, *TYPES) == OFFERED


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    folder, output = checkpoint(tmp_path / "hf"), tmp_path / "out.gguf"
    output.write_bytes(b"precious")
    words = ("convert", str(folder), str(output), "--no-tokenizer", "--type", "q8_0")
    done = call(*words)
    assert (done.returncode, done.stderr) == (1, f"ostinato: {output}: is there already; --force replaces it\n")
    assert output.read_bytes() == b"precious"
    assert call(*words, "--force").returncode == 0
    assert output.read_bytes()[:4] == b"GGUF"


def test_an_unknown_type_is_wrong_usage(tmp_path: Path) -> None:
    done = call("convert", str(tmp_path), "out.gguf", "--type", "Q9")
    assert done.returncode == 2
    assert "'Q9'; expected one of auto, F32," in done.stderr


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_leaves_nothing_behind(
    sent: signal.Signals, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = checkpoint(tmp_path / "hf")
    monkeypatch.setattr("ostinato.cli.progress.Progress.advance", lambda *_: os.kill(os.getpid(), sent))
    with heard(sent):
        assert call("convert", str(folder), str(tmp_path / "out.gguf"), "--no-tokenizer").returncode == status
    assert os.listdir(tmp_path) == ["hf"]
