"""Runs of decode steps in the engine: the same answers, sooner or later ended by whoever comes."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from ostinato.backends.batch_table import MAX_STOPS
from ostinato.backends.sampling import Sampling
from ostinato.engine.local import Stream
from ostinato.engine.records_table import FinishReason
from ostinato.engine.request import Request
from tests.engine.simulate import EXECUTABLES, ROOMY, TIGHT, VOCAB, Bench, CrashBench, alone, answer, requests

BACKENDS = pytest.mark.parametrize("backend", list(EXECUTABLES))
GREEDY = Sampling(temperature=0)


def endless(count: int, tokens: int = 60) -> list[Request]:
    """Requests that no stop token ends."""
    return [replace(r, max_tokens=tokens, stop_ids=[]) for r in requests(count, seed=count, longest=20)]


def step_until(bench: Bench, stream: Stream, tokens: int) -> int:
    """Steps until the stream has so many tokens; returns how many steps."""
    for count in range(1000):
        if len(stream.events) >= tokens:
            return count
        bench.engine.check_integrity()
        bench.engine.step()
    raise AssertionError("no tokens")


@BACKENDS
@pytest.mark.parametrize("run_steps", [2, 7, 64, 1000])
def test_answers_are_those_of_single_steps(backend: str, run_steps: int) -> None:
    bench = Bench(backend=backend, run_steps=run_steps)
    asked = requests(9, seed=run_steps)
    assert bench.answers(asked) == [alone(request) for request in asked]
    assert bench.engine.counters()["runs"] > 0


def test_a_run_saves_submissions() -> None:
    bench = Bench(run_steps=10)
    assert bench.answers([Request([1, 2], 41, GREEDY)]) == [alone(Request([1, 2], 41, GREEDY))]
    assert (bench.engine.runs, bench.engine.steps, bench.engine.rows) == (4, 41, 42)


def test_run_steps_of_one_means_no_runs() -> None:
    bench = Bench(run_steps=1)
    bench.answers(endless(3))
    assert bench.engine.runs == 0


def test_tokens_of_a_run_are_published_as_they_come() -> None:
    bench = Bench(backend="pairs", run_steps=64)
    stream = bench.submit(Request([1, 2], 60))
    step_until(bench, stream, 1)
    seen = []
    while not stream.finish:
        before = len(stream.events)
        bench.engine.step()
        seen.append(len(stream.events) - before)
    assert max(seen) == 2
    assert bench.engine.runs == 1


@BACKENDS
def test_stop_ids_end_a_run_also_those_that_a_backend_does_not_look_for(backend: str) -> None:
    free, _ = alone(Request([5, 6], 40))
    stop = free[9]
    others = [token for token in range(VOCAB) if token not in free]
    for stops in ([stop], [*others[: MAX_STOPS + 4], stop]):
        bench = Bench(backend=backend, run_steps=30)
        assert bench.answers([Request([5, 6], 40, stop_ids=stops)]) == [
            (free[: free.index(stop) + 1], FinishReason.STOP)
        ]


@BACKENDS
def test_a_newcomer_ends_a_run(backend: str) -> None:
    bench = Bench(backend=backend, run_steps=64)
    early = bench.submit(Request([1, 2], 100, GREEDY))
    step_until(bench, early, 8)
    late = bench.submit(Request([3, 4, 5], 10, GREEDY))
    assert step_until(bench, late, 1) <= 4
    if backend != "whole" and backend != "forgetful":
        assert len(early.events) < 14, "the run went on"
    bench.finish()
    assert answer(early.events) == alone(Request([1, 2], 100, GREEDY))
    assert answer(late.events) == alone(Request([3, 4, 5], 10, GREEDY))


@pytest.mark.parametrize("backend", ["parts", "pairs"])
def test_blocks_given_ahead_are_there_for_a_newcomer(backend: str) -> None:
    asked = [Request([1, 2], 70, GREEDY), Request(list(range(16)), 5, GREEDY)]
    bench = Bench(TIGHT, backend=backend, run_steps=64)
    early = bench.submit(asked[0])
    step_until(bench, early, 6)
    late = bench.submit(asked[1])
    step_until(bench, late, 5)
    assert len(early.events) < 20, "its run had nearly all blocks, and used few"
    bench.finish()
    assert bench.engine.counters()["preemptions"] == 0
    assert [answer(early.events), answer(late.events)] == [alone(request) for request in asked]


def test_newcomers_that_were_refused_together_do_not_wait_for_the_run() -> None:
    bench = Bench(backend="parts", run_steps=64)
    early = bench.submit(Request([1, 2], 100, GREEDY))
    step_until(bench, early, 8)
    good, bad = bench.submit(Request([3, 4], 5, GREEDY)), bench.submit(Request([VOCAB], 5))
    step_until(bench, good, 5)
    assert answer(bad.events) == ([], FinishReason.ERROR)
    assert answer(good.events) == alone(Request([3, 4], 5, GREEDY))
    assert len(early.events) < 20, "the run went on"
    bench.finish()
    assert answer(early.events) == alone(Request([1, 2], 100, GREEDY))


@BACKENDS
@pytest.mark.parametrize("victims", [1, 3])
@pytest.mark.parametrize("when", range(2, 12, 3))
def test_cancelled_in_a_run(backend: str, victims: int, when: int) -> None:
    """Its slot and blocks are given to another only when the run has ended."""
    bench = Bench(replace(ROOMY, max_sequences=3), backend=backend, run_steps=64)
    asked = endless(3, 50)
    streams = [bench.submit(request) for request in asked]
    for _ in range(when):
        bench.engine.step()
    for stream in streams[:victims]:
        bench.port.cancel(stream)
    newcomers = endless(4, 12)
    late = [bench.submit(request) for request in newcomers]
    bench.finish()
    for number, (request, stream) in enumerate(zip(asked, streams, strict=True)):
        tokens, finish = answer(stream.events)
        assert tokens == alone(request)[0][: len(tokens)]
        assert finish is (FinishReason.LENGTH if number >= victims or len(tokens) == 50 else FinishReason.CANCELLED)
    assert [answer(stream.events) for stream in late] == [alone(request) for request in newcomers]
    assert bench.engine.paging.available == ROOMY.blocks


@BACKENDS
def test_a_drain_ends_a_run(backend: str) -> None:
    bench = Bench(backend=backend, run_steps=64)
    stream = bench.submit(Request([1, 2], 60, GREEDY))
    step_until(bench, stream, 3)
    before = len(stream.events)
    bench.engine.drain()
    if backend in ("parts", "pairs"):
        assert len(stream.events) - before <= 2
    bench.engine.check_integrity()
    bench.finish()
    assert answer(stream.events) == alone(Request([1, 2], 60, GREEDY))


def test_a_newcomer_without_a_slot_ends_a_run_too() -> None:
    bench = Bench(replace(ROOMY, max_sequences=1), backend="parts", run_steps=64)
    first = bench.submit(Request([1], 20, GREEDY))
    step_until(bench, first, 5)
    runs = bench.engine.runs
    second = bench.submit(Request([2], 5, GREEDY))
    bench.finish()
    assert bench.engine.runs == runs + 1, "only the second, alone, runs again"
    assert answer(first.events) == alone(Request([1], 20, GREEDY))
    assert answer(second.events) == alone(Request([2], 5, GREEDY))


@BACKENDS
def test_nobody_is_preempted_for_a_run(backend: str) -> None:
    """Two sequences that just fit: a run takes what is free, and is shorter where that is little."""
    plan = replace(TIGHT, blocks=10)
    asked = [Request([i, 5], 16, GREEDY) for i in (1, 2)]
    bench = Bench(plan, backend=backend, run_steps=64)
    assert bench.answers(asked) == [alone(request) for request in asked]
    assert bench.engine.counters()["preemptions"] == 0
    assert bench.engine.counters()["runs"] > 0


@BACKENDS
@pytest.mark.parametrize("seed", range(4))
def test_tiny_pools(backend: str, seed: int) -> None:
    bench = Bench(TIGHT, backend=backend, run_steps=16)
    asked = requests(12, seed, longest=30)
    assert bench.answers(asked) == [alone(request) for request in asked]
    assert bench.engine.counters()["preemptions"] > 0


@pytest.mark.parametrize("backend", ["whole", "parts", "forgetful"])
@pytest.mark.parametrize("when", range(1, 12, 2))
def test_a_crash_in_a_run(backend: str, when: int) -> None:
    bench = Bench(backend=backend, run_steps=12)
    asked = endless(3)
    streams = [bench.submit(request) for request in asked]
    for _ in range(when):
        bench.engine.step()
    bench.restart()
    if backend == "forgetful":
        assert not bench.engine.scheduler.running
        assert all(bench.table.committed(stream.record).blocks == (0, 0) for stream in streams if not stream.finish)
    bench.finish()
    assert [answer(stream.events) for stream in streams] == [alone(request) for request in asked]


def test_crashes_where_keys_and_values_die_too() -> None:
    crashes = 0
    for seed in range(8):
        bench = CrashBench(TIGHT if seed % 2 else ROOMY, seed, forgetful=True)
        asked = requests(8, seed, longest=30)
        streams = [bench.submit(request) for request in asked]
        bench.finish()
        assert [answer(stream.events) for stream in streams] == [alone(request) for request in asked]
        crashes += bench.crashes
    assert crashes >= 8


@pytest.mark.parametrize("backend", ["whole", "parts", "pairs"])
@pytest.mark.parametrize("seed", range(5))
def test_comings_and_goings(backend: str, seed: int) -> None:
    """Long answers, few steps between arrivals: most commands come in the middle of a run."""
    rng = random.Random(seed)
    plan = replace(ROOMY, max_sequences=rng.choice((2, 5)), blocks=rng.choice((40, 100)))
    bench = Bench(plan, backend=backend, run_steps=rng.choice((4, 64)))
    asked, streams = endless(14, 40), []
    cancelled: set[int] = set()
    while len(streams) < len(asked) or not all(stream.finish for stream in streams):
        if len(streams) < len(asked) and rng.random() < 0.15:
            streams.append(bench.submit(asked[len(streams)]))
        if streams and rng.random() < 0.05:
            cancelled.add(rng.randrange(len(streams)))
            bench.port.cancel(streams[max(cancelled)])
        bench.engine.step()
        bench.engine.check_integrity()
    bench.finish()
    assert bench.engine.paging.available == plan.blocks
    assert bench.engine.runs > 0
    for number, (request, stream) in enumerate(zip(asked, streams, strict=True)):
        tokens, finish = answer(stream.events)
        assert tokens == alone(request)[0][: len(tokens)]
        assert finish is FinishReason.LENGTH or number in cancelled
