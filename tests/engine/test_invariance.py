"""Numbers do not depend on company: the same tokens alone, in a crowd, in chunks and runs, preempted, recovered.

With the built-in model and a recurrent one here, and (slow) with a Q4_K_M file of real width.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ostinato.backends.choose import BACKENDS
from ostinato.backends.contract import KVType
from ostinato.backends.sampling import Sampling
from ostinato.engine.engine import Engine
from ostinato.engine.loading import Opened, Options, open_model
from ostinato.engine.local import LocalPort, Stream
from ostinato.engine.request import Request
from tests.engine.hybrid import write_hybrid
from tests.support import BUILTIN, ROOT


@dataclass(frozen=True)
class Scale:
    """How much of it a backend is asked for."""

    tokens: int  # of an answer
    crowd: int  # the largest


BACKENDS_UNDER_TEST = {"cpu": Scale(tokens=300, crowd=33), "webgpu": Scale(tokens=22, crowd=8)}


class Run:
    """An engine over one open model, with other limits."""

    def __init__(self, model: Opened, run_steps: int = 0, **limits: int) -> None:
        self.plan, self.run_steps = replace(model.plan, **limits), run_steps
        self.caches = model.programs.caches
        memory = {g.name: memoryview(bytearray(self.plan.cache_bytes(g))) for g in self.caches if model.hosted}
        self.model = replace(model, plan=replace(self.plan, memory=memory))
        self.port = LocalPort(self.plan, len(self.caches), capacity=64)
        self.start()

    def start(self) -> None:
        """A new engine over the same records and the same KV."""
        self.executable = self.model.compile()
        self.engine = Engine(
            self.executable, self.plan, self.caches, self.port.table, self.port, self.run_steps,
            self.model.programs.recurrent,
        )  # fmt: skip

    def crash(self) -> None:
        """The engine dies with steps in flight; another one takes over."""
        self.executable.close()
        self.port.table.roll_back()
        self.start()
        self.engine.recover()

    def answers(self, requests: Sequence[Request], crash_every: int = 0, arrive_every: int = 0) -> list[list[int]]:
        """Tokens of every request; all submitted at once, or one every so many steps."""
        streams: list[Stream | None] = []
        steps, working = 0, True
        while working or len(streams) < len(requests):
            while len(streams) < len(requests) and steps >= arrive_every * len(streams):
                streams.append(self.port.submit(requests[len(streams)]))
            working = self.engine.step()
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


def request(index: int, vocab: int, tokens: int) -> Request:
    """Seeded prompts of 41 to 57 tokens; every third is greedy, the others sampled with penalties or filters."""
    prompt = [(index * 7919 + i * 104729 + i * i) % vocab for i in range(41 + index % 17)]
    settings = (
        Sampling(temperature=0),
        Sampling(temperature=0.9, top_p=0.95, seed=index),
        Sampling(temperature=1.2, top_k=40, repetition_penalty=1.1, presence_penalty=0.3, seed=index),
    )[index % 3]
    return Request(prompt, tokens, settings)


def builtin(_: Path) -> Path:
    return BUILTIN


def hybrid(folder: Path) -> Path:
    return write_hybrid(folder / "hybrid.gguf")


def real_width(folder: Path) -> Path:
    path = folder / "tinyllama-1.1b.gguf"
    command = [sys.executable, "-m", "bench.write_model", "tinyllama-1.1b", "--out", str(path)]
    subprocess.run(command, cwd=ROOT, check=True)
    return path


CASES = [
    *(pytest.param((name, builtin), id=f"{name}-builtin") for name in BACKENDS_UNDER_TEST),
    pytest.param(("cpu", hybrid), id="cpu-recurrent"),
    pytest.param(("cpu", real_width), id="cpu-1.1B", marks=[pytest.mark.slow, pytest.mark.timeout(7200)]),
]


@pytest.fixture(scope="module", params=CASES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    name, make = request.param
    probe = BACKENDS[name]().probe()
    if not probe.available:
        pytest.skip(f"backend {name} is not available: {probe.device}")
    scale = BACKENDS_UNDER_TEST[name]
    options = Options(backend=name, context=60 + scale.tokens, max_sequences=scale.crowd)
    opened = open_model(make(tmp_path_factory.mktemp("model")), options)
    yield opened
    opened.file.close()


@pytest.fixture(scope="module")
def alone(model: Opened) -> list[list[int]]:
    """Answers of three requests, each alone on a fresh engine that takes single steps."""
    wanted = [Run(model, run_steps=1).answers([asked])[0] for asked in crowd(model, 3)]
    assert all(len(answer) == scale(model).tokens for answer in wanted)
    return wanted


def scale(model: Opened) -> Scale:
    return BACKENDS_UNDER_TEST[model.backend.name]


def crowd(model: Opened, count: int) -> list[Request]:
    return [request(i, model.spec.vocab_size, scale(model).tokens) for i in range(count)]


@pytest.mark.parametrize("count", [8, 33])
def test_in_company(model: Opened, alone: list[list[int]], count: int) -> None:
    if count > scale(model).crowd:
        pytest.skip(f"backend {model.backend.name} is asked for {scale(model).crowd} at once")
    assert Run(model).answers(crowd(model, count))[:3] == alone


@pytest.mark.parametrize("rows", [7, pytest.param(64, marks=pytest.mark.slow)])
def test_in_chunks(model: Opened, alone: list[list[int]], rows: int) -> None:
    assert Run(model, max_rows=rows).answers(crowd(model, 3)) == alone


@pytest.mark.parametrize("run_steps", [pytest.param(2, marks=pytest.mark.slow), 13])
def test_in_runs(model: Opened, alone: list[list[int]], run_steps: int) -> None:
    run = Run(model, run_steps)
    assert run.answers(crowd(model, 3)) == alone
    assert run.engine.runs > 0 or run.executable.max_steps == 1


def test_joined_during_runs(model: Opened, alone: list[list[int]]) -> None:
    """One after the other arrives while the others are in the middle of a long run."""
    assert Run(model, run_steps=64).answers(crowd(model, 3), arrive_every=3) == alone


@pytest.mark.parametrize("threads", [1, 2])
def test_on_any_number_of_threads(model: Opened, alone: list[list[int]], threads: int) -> None:
    if model.backend.name != "cpu":
        pytest.skip(f"backend {model.backend.name} has no threads of ours")
    assert Run(model, threads=threads).answers(crowd(model, 1)) == alone[:1]


def test_preempted(model: Opened, alone: list[list[int]]) -> None:
    run = Run(model, blocks=2 * model.plan.blocks_per_sequence)
    assert run.answers(crowd(model, 6))[:3] == alone
    assert run.engine.scheduler.preemptions > 0


def test_prefix_hit(model: Opened, alone: list[list[int]]) -> None:
    run = Run(model)
    assert run.answers(crowd(model, 3)) == alone
    assert run.answers(crowd(model, 3)) == alone
    assert (run.engine.scheduler.prefix_hits > 0) != model.programs.recurrent, "shared, unless there is other state"


@pytest.mark.parametrize("run_steps", [1, 9])
def test_recovered(model: Opened, alone: list[list[int]], run_steps: int) -> None:
    crash_every = 37 if run_steps == 1 else 7
    if scale(model).tokens < crash_every:
        pytest.skip(f"answers of {scale(model).tokens} tokens end before the first crash")
    assert Run(model, run_steps).answers(crowd(model, 3), crash_every=crash_every) == alone


def test_quantised_keys_and_values() -> None:
    """Q8_0: the same tokens in company, from shared prefixes and after crashes."""
    options = Options(backend="cpu", context=110, max_sequences=6, kv_type=KVType.Q8_0)
    opened = open_model(BUILTIN, options)
    asked = [request(i, opened.spec.vocab_size, 50) for i in range(6)]
    wanted = [Run(opened, run_steps=1).answers([each])[0] for each in asked[:3]]
    run = Run(opened)
    assert run.answers(asked)[:3] == wanted
    assert run.answers(asked[:3]) == wanted
    assert run.engine.scheduler.prefix_hits > 0
    assert Run(opened).answers(asked[:3], crash_every=7) == wanted
    opened.file.close()
