"""Everything at once, at random: arrivals, cancellations, drains, deaths and accusations over any plan, any executable
and any length of runs. Every event is that of an engine which does nothing else, its log-probability included."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from ostinato.engine.engine import Engine
from ostinato.engine.local import Stream
from ostinato.engine.records_table import FinishReason
from ostinato.engine.request import Request
from tests.engine.simulate import EXECUTABLES, ROOMY, TIGHT, Bench, answer, requests


def any_bench(rng: random.Random) -> Bench:
    plan = replace(
        rng.choice((ROOMY, TIGHT)),
        max_sequences=rng.choice((1, 2, 5, 8)),
        max_rows=rng.choice((1, 3, 8, 24)),
        max_logit_rows=rng.choice((1, 2, 8)),
        blocks=rng.choice((20, 33, 64)),
        context=rng.choice((61, 64)),
    )
    return Bench(plan, backend=rng.choice(list(EXECUTABLES)), run_steps=rng.choice((0, 1, 2, 5, 16, 64, 1000)))


def disturb(bench: Bench, rng: random.Random) -> None:
    """Now and then a drain, or a death, after a fault or not."""
    chance = rng.random()
    if chance < 0.01:
        bench.engine.drain()
        assert not bench.table.in_flight()
    elif chance < 0.02:
        for record in bench.table.in_flight() if rng.random() < 0.5 else ():
            bench.table.set_suspect(record, True)
        bench.restart()


def undisturbed(request: Request, context: int) -> list[str]:
    bench = Bench(replace(ROOMY, context=context), run_steps=1)
    stream = bench.submit(request)
    bench.finish()
    return events(stream)


def events(stream: Stream) -> list[str]:
    """As text, in which NaN is equal to itself; without the number of the record."""
    answer(stream.events)
    return [repr(replace(event, request=0)) for event in stream.events]


@pytest.mark.parametrize("seed", range(24))
def test_no_interleaving_shows(seed: int) -> None:
    rng = random.Random(seed)
    bench = any_bench(rng)
    asked = [replace(request, max_tokens=rng.choice((1, 2, 10, 100))) for request in requests(10, seed)]
    streams: list[Stream] = []
    cancelled: set[int] = set()
    for _ in range(20000):
        if len(streams) < len(asked) and rng.random() < 0.15:
            streams.append(bench.submit(asked[len(streams)]))
        if streams and rng.random() < 0.03:
            victim = rng.randrange(len(streams))
            cancelled.add(victim)
            bench.port.cancel(streams[victim])
        disturb(bench, rng)
        bench.engine.step()
        bench.engine.check_integrity()
        if len(streams) == len(asked) and all(stream.finish for stream in streams):
            break
    bench.finish()
    assert bench.engine.paging.available == bench.plan.blocks
    for number, (request, stream) in enumerate(zip(asked, streams, strict=True)):
        got, wanted = events(stream), undisturbed(request, bench.plan.context)
        if stream.finish is FinishReason.CANCELLED:
            assert number in cancelled
            got.pop()
            wanted = wanted[: len(got)]
        assert got == wanted


def test_an_engine_without_work_does_nothing() -> None:
    """After a run, too: no step is submitted, no part collected, and the process sleeps."""
    for backend in EXECUTABLES:
        bench = Bench(backend=backend, run_steps=64)
        bench.answers(requests(3, seed=1))
        engine: Engine = bench.engine
        before = engine.counters(), bench.table.last_step()
        assert not any(engine.step() for _ in range(3))
        assert (engine.counters(), bench.table.last_step()) == before
