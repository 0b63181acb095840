"""`ostinato quantize`: what it says, what it refuses, what it leaves behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from ostinato.gguf.reader import open_gguf
from ostinato.gguf.types_table import TensorType
from tests.cli.support import call, heard, ostinato
from tools.tiny_models import write_tiny_model


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("quantize") / "tiny.gguf"
    write_tiny_model(path, layers=1)
    return str(path)


def test_a_mix(source: str, tmp_path: Path) -> None:
    target = str(tmp_path / "out.gguf")
    done = ostinato("quantize", source, target, "q4_k_m", "--threads", "2")
    assert (done.returncode, done.stderr) == (0, "")  # no progress bar where nobody looks
    assert done.stdout.startswith(f"{target}: Q4_K_M, ")
    assert "bits per weight" in done.stdout
    with open_gguf(target) as file:
        assert file.tensors["blk.0.ffn_up.weight"].type is TensorType.Q4_K
    shown = call("show", target)
    assert "Q6_K" in shown.stdout


def test_it_can_be_run(source: str, tmp_path: Path) -> None:
    target = str(tmp_path / "out.gguf")
    assert call("quantize", source, target, "Q8_0").returncode == 0
    done = call("run", target, "a", "--raw", "--max-tokens", "2", "--temperature", "0", "--backend", "cpu")
    assert done.returncode == 0


def test_overrides(source: str, tmp_path: Path) -> None:
    target = str(tmp_path / "out.gguf")
    words = ("--output-type", "q8_0", "--embedding-type", "F16", "--pure")
    assert call("quantize", source, target, "Q4_K_M", *words).returncode == 0
    with open_gguf(target) as file:
        found = {name: file.tensors[f"{name}.weight"].type.name for name in ("output", "token_embd", "blk.0.attn_v")}
    assert found == {"output": "Q8_0", "token_embd": "F16", "blk.0.attn_v": "Q4_K"}


def test_an_old_file_is_replaced_only_by_force(source: str, tmp_path: Path) -> None:
    target = tmp_path / "out.gguf"
    target.write_text("precious")
    done = call("quantize", source, str(target), "Q8_0")
    assert (done.returncode, target.read_text()) == (1, "precious")
    assert done.stderr == f"ostinato: {target}: is there already; --force replaces it\n"
    assert call("quantize", source, str(target), "Q8_0", "--force").returncode == 0
    assert target.read_bytes()[:4] == b"GGUF"


def test_notes(source: str, tmp_path: Path) -> None:
    small = str(tmp_path / "small.gguf")
    call("quantize", source, small, "Q8_0")
    done = call("quantize", small, str(tmp_path / "smaller.gguf"), "Q4_0")
    assert done.returncode == 0
    assert done.stderr.startswith("note: quantised before, so errors add up")
    assert done.stderr.endswith(": token_embd.weight and 8 more\n")


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (("Q9",), 2, "expected one of F32, F16"),
        (("Q8_0", "--output-type", "Q9"), 2, "expected one of F32, F16"),
        (("Q8_0", "--threads", "0"), 2, "whole number"),
    ],
)
def test_bad_use(words: tuple[str, ...], status: int, text: str, source: str, tmp_path: Path) -> None:
    done = call("quantize", source, str(tmp_path / "out.gguf"), *words)
    assert done.returncode == status
    assert text in done.stderr
    assert os.listdir(tmp_path) == []


def test_in_and_out_must_differ(source: str) -> None:
    done = call("quantize", source, source, "Q8_0", "--force")
    assert (done.returncode, done.stdout) == (1, "")
    assert "is the file to be read" in done.stderr


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_leaves_nothing_behind(sent: signal.Signals, status: int, source: str, tmp_path: Path) -> None:
    def slices(*_: object) -> Iterator[tuple[int, np.ndarray]]:
        yield 1, np.zeros(1, np.uint8)
        os.kill(os.getpid(), sent)
        yield 1, np.zeros(1, np.uint8)

    with heard(sent), mock.patch("ostinato.quantize.file.encode_slices", slices):
        done = call("quantize", source, str(tmp_path / "out.gguf"), "Q8_0")
    assert done.returncode == status
    assert os.listdir(tmp_path) == []
