"""Numbers do not depend on company: the same tokens alone, in a crowd, in chunks, preempted, cached, recovered.

With the built-in model here, and (slow) with a Q4_K_M file of real width.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ostinato.backends.sampling import Sampling
from ostinato.engine.engine import Engine
from ostinato.engine.loading import Opened, Options, open_model
from ostinato.engine.local import LocalPort, Stream
from ostinato.engine.request import Request
from tests.support import BUILTIN, ROOT

TOKENS = 300
LONGEST = 60 + TOKENS


class Run:
    """An engine over one open model, with other limits."""

    def __init__(self, model: Opened, **limits: int) -> None:
        self.plan = replace(model.plan, **limits)
        self.caches = model.programs.caches
        memory = {g.name: memoryview(bytearray(self.plan.cache_bytes(g))) for g in self.caches}
        self.model = replace(model, plan=replace(self.plan, memory=memory))
        self.port = LocalPort(self.plan, len(self.caches), capacity=64)
        self.start()

    def start(self) -> None:
        """A new engine over the same records and the same KV."""
        self.executable = self.model.compile()
        self.engine = Engine(self.executable, self.plan, self.caches, self.port.table, self.port)

    def crash(self) -> None:
        """The engine dies with steps in flight; another one takes over."""
        self.executable.close()
        self.port.table.roll_back()
        self.start()
        self.engine.recover()

    def answers(self, requests: Sequence[Request], crash_every: int = 0) -> list[list[int]]:
        """Tokens of every request, all submitted at once."""
        streams = [self.port.submit(request) for request in requests]
        steps = 0
        while self.engine.step():
            steps += 1
            if crash_every and steps % crash_every == 0:
                self.crash()
        self.engine.check_integrity()
        return [tokens(stream) for stream in streams if stream is not None]


def tokens(stream: Stream) -> list[int]:
    seen: dict[int, int] = {}
    for event in stream.events:
        if event.token >= 0:
            assert seen.setdefault(event.index, event.token) == event.token, "a repeated token differs"
    return [seen[i] for i in range(len(seen))]


def request(index: int, vocab: int, length: int = 41) -> Request:
    """Seeded prompts of 30 to 60 tokens; every third is greedy, the others sampled with penalties or filters."""
    prompt = [(index * 7919 + i * 104729 + i * i) % vocab for i in range(length + index % 17)]
    settings = (
        Sampling(temperature=0),
        Sampling(temperature=0.9, top_p=0.95, seed=index),
        Sampling(temperature=1.2, top_k=40, repetition_penalty=1.1, presence_penalty=0.3, seed=index),
    )[index % 3]
    return Request(prompt, TOKENS, settings)


def builtin(_: Path) -> Path:
    return BUILTIN


def real_width(folder: Path) -> Path:
    """TinyLlama's shape in Q4_K_M with random weights: 0.6 GB."""
    path = folder / "tinyllama-1.1b.gguf"
    command = [sys.executable, "-m", "bench.write_model", "tinyllama-1.1b", "--out", str(path)]
    subprocess.run(command, cwd=ROOT, check=True)
    return path


@pytest.fixture(
    scope="module",
    params=[builtin, pytest.param(real_width, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])],
    ids=["builtin", "1.1B"],
)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    path = request.param(tmp_path_factory.mktemp("model"))
    opened = open_model(path, Options(backend="cpu", context=LONGEST, max_sequences=33))
    yield opened
    opened.file.close()


@pytest.fixture(scope="module")
def alone(model: Opened) -> list[list[int]]:
    """Answers of three requests, each alone on a fresh engine."""
    wanted = [Run(model).answers([request(i, model.spec.vocab_size)])[0] for i in range(3)]
    assert all(len(answer) == TOKENS for answer in wanted)
    return wanted


def crowd(model: Opened, count: int) -> list[Request]:
    return [request(i, model.spec.vocab_size) for i in range(count)]


@pytest.mark.parametrize("count", [3, 8, 33])
def test_in_company(model: Opened, alone: list[list[int]], count: int) -> None:
    assert Run(model).answers(crowd(model, count))[:3] == alone


@pytest.mark.parametrize("rows", [7, 64])
def test_in_chunks(model: Opened, alone: list[list[int]], rows: int) -> None:
    assert Run(model, max_rows=rows).answers(crowd(model, 3)) == alone


@pytest.mark.parametrize("threads", [1, 2])
def test_on_any_number_of_threads(model: Opened, alone: list[list[int]], threads: int) -> None:
    assert Run(model, threads=threads).answers(crowd(model, 1)) == alone[:1]


def test_preempted(model: Opened, alone: list[list[int]]) -> None:
    run = Run(model, blocks=2 * model.plan.blocks_per_sequence)
    assert run.answers(crowd(model, 6))[:3] == alone
    assert run.engine.scheduler.preemptions > 0


def test_prefix_hit(model: Opened, alone: list[list[int]]) -> None:
    run = Run(model)
    assert run.answers(crowd(model, 3)) == alone
    assert run.answers(crowd(model, 3)) == alone
    assert run.engine.scheduler.prefix_hits > 0


def test_recovered(model: Opened, alone: list[list[int]]) -> None:
    assert Run(model).answers(crowd(model, 3), crash_every=37) == alone
