"""Workers: answers in order, and what is said of one that ends, hangs or cannot load."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.worker import Worker, WorkerError
from tools.tiny_models import write_tiny_model

ECHO = """
import sys, time
from bench.worker import serve
def end(): sys.exit("my last words")
serve({"echo": lambda **given: (print("noise"), given)[1], "hang": lambda: time.sleep(60), "end": end})
"""


def echo() -> Worker:
    return Worker("echo", [sys.executable, "-c", ECHO])


def test_answers() -> None:
    with echo() as worker:
        assert [worker.ask("echo", a=i) for i in range(3)] == [{"a": 0}, {"a": 1}, {"a": 2}]


def test_one_that_ends_is_quoted() -> None:
    with pytest.raises(WorkerError, match="my last words"):
        echo().ask("end")


def test_one_that_hangs_is_ended() -> None:
    with pytest.raises(WorkerError, match="no answer in 1 s"):
        echo().ask("hang", seconds=1)


def test_one_that_cannot_load() -> None:
    with pytest.raises(WorkerError, match="nowhere"):
        Worker("ours", [sys.executable, "-m", "bench.ours", "nowhere.gguf", "--threads", "1", "--context", "32"])


def test_ours(tmp_path: Path) -> None:
    """One stream, several, and a context much longer than what was prefilled."""
    model = tmp_path / "tiny.gguf"
    write_tiny_model(model, type="Q8_0")
    words = ["-m", "bench.ours", str(model), "--threads", "1", "--context", "1100", "--sequences", "3"]
    with Worker("ours", [sys.executable, *words]) as worker:
        for sequences in (1, 3):
            answer = worker.ask("run", sequences=sequences, prompt=8, tokens=5)
            assert min(answer.values()) > 0
        for depth in (512, 1024):
            assert worker.ask("deep", depth=depth, tokens=40)["decode_seconds"] > 0
        assert worker.ask("memory")["peak_bytes"] > 1e6
        assert set(worker.ask("roofs", threads=1)) == {"int8", "f32"}
