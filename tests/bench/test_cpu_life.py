"""What bench/cpu.py writes down of the commands that it ran, and that nothing of a failed measurement stays behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import cpu_life
from bench.candidates import Candidate, Peers
from bench.cpu_rows import OURS, Setup
from bench.worker import Record, Worker, WorkerError

MODEL = Path("/somewhere/of/mine/m.gguf")


def test_a_command_is_written_as_anybody_may_type_it() -> None:
    run = cpu_life.Command(["run", str(MODEL), "a b", "--threads", "2"], MODEL)
    assert run.words[-5:] == ["run", str(MODEL), "a b", "--threads", "2"]
    assert str(run) == "ostinato run m.gguf 'a b' --threads 2"


def test_a_start_is_measured_with_the_command_that_is_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[cpu_life.Command] = []

    def token_times(command: cpu_life.Command) -> list[float]:
        ran.append(command)
        return [0.2 + 0.02 * i for i in range(cpu_life.START_TOKENS)]

    monkeypatch.setattr(cpu_life, "_token_times", token_times)
    monkeypatch.setattr(cpu_life, "_words_of", lambda model, tokens: "a b c")
    monkeypatch.setattr(Path, "read_bytes", lambda self: b"")
    monkeypatch.setattr(Peers, "start", lambda *_, **__: Fake("peer", []))
    _, made_of = cpu_life.start(setup(), MODEL)
    assert {str(command) for command in ran} == {made_of["command"]}
    assert made_of["command"].endswith("--backend cpu --threads 3")
    assert str(MODEL.parent) not in made_of["command"]


class Fake(Worker):
    """Answers without a process."""

    def __init__(self, name: str, closed: list[str]) -> None:
        self.name, self._closed = name, closed

    def ask(self, job: str, seconds: float = 300, **_: object) -> Record:
        return {"start_seconds": 0.3}

    def close(self) -> None:
        self._closed.append(self.name)


def setup() -> Setup:
    peers = Peers(Path("peers"), "python", ["native", "threads"])
    return Setup(threads=3, rounds=2, slow_rounds=1, peers=peers, levels=["avx2"], has_amx=False)


def test_workers_end_where_one_of_them_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []

    def start(self: Peers, candidate: Candidate, *_: object, **__: object) -> Worker:
        if candidate.build == "threads":
            raise WorkerError("cannot load")
        return Fake(str(candidate), closed)

    monkeypatch.setattr(Peers, "start", start)
    monkeypatch.setattr(Setup, "ours", lambda *_, **__: Fake(OURS, closed))
    with pytest.raises(WorkerError, match="cannot load"):
        cpu_life.busy(setup(), MODEL)
    assert closed == ["native, repack, flash on", OURS]
