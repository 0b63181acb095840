"""bench/gpu/experts.py from end to end, on kernels compiled for the host; its figures mean nothing here."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from bench import forced
from bench.gpu import experts as bench
from bench.topics import Text
from tests.backends.cuda.host_driver import HostCuda
from tools.tiny_models import write_tiny_model

pytestmark = pytest.mark.usefixtures("host_cuda")
WARM, TOKENS = 4, 12


def test_every_row_has_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host_cuda: HostCuda) -> None:
    write_tiny_model(tmp_path / "tiny.gguf", moe=True, type="Q4_K_M", layers=2)
    monkeypatch.setattr(bench, "TEXT", Text(function_words=16))  # a small vocabulary
    monkeypatch.setattr(bench, "SHARES", (0.5, 0.0))
    monkeypatch.setattr(bench, "PROMPT", 8)
    monkeypatch.setattr(forced, "WARM", WARM)
    words = [str(tmp_path / "tiny.gguf"), "--rounds", "1", "--tokens", str(TOKENS)]
    monkeypatch.setattr(sys, "argv", ["bench.gpu.experts", *words])
    said: list[str] = []
    assert bench.main(said.append) == 0
    found = {record["row"]: record for record in map(json.loads, said)}
    assert not [record for record in found.values() if "error" in record]
    slots = [found[name] for name in found if "slots" in name]
    assert [record["slots"] for record in slots] == sorted((record["slots"] for record in slots), reverse=True)
    assert slots[-1]["slots"] == slots[-1]["device_hit_rate"] == 0
    for record in slots:
        assert record["floor_seconds_per_token"] == pytest.approx(
            record["bus_bytes_per_token"] / record["bus_bytes_per_second"]
        )
        assert record["bus_bytes_per_token"] > 0
    assert all(record["tokens_per_second"] > 0 for record in found.values())
    assert "bus_bytes_per_token" not in found["all on the card"]


def test_a_row_that_cannot_be_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny_model(tmp_path / "tiny.gguf", moe=True, type="Q4_K_M", layers=2)
    monkeypatch.setattr(bench, "measure", _fails)
    options = bench.Options("cuda", context=64, max_sequences=1, blocks=4)
    records = list(bench.run(tmp_path / "tiny.gguf", options, 2, 8, 1.0))
    assert {record["error"] for record in records} == {"ValueError: there is no room"}


def _fails(*_: object) -> None:
    raise ValueError("there is no room")
