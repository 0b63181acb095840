"""An engine that dies anywhere and comes back over the same memory: every stream goes on, identical."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ostinato.engine.request import Request
from tests.engine.simulate import ROOMY, TIGHT, Bench, CrashBench, alone, answer, requests


@pytest.mark.parametrize("seed", range(24))
def test_crashes_change_nothing(seed: int) -> None:
    plan = TIGHT if seed % 2 else replace(ROOMY, max_rows=20)
    bench = CrashBench(plan, seed)
    asked = requests(12, seed, longest=30)
    streams = [bench.submit(request) for request in asked]
    bench.finish()
    assert [answer(stream.events) for stream in streams] == [alone(request) for request in asked]
    assert bench.engine.paging.available == plan.blocks
    assert bench.crashes > 0


def test_the_fuse_reaches_every_place() -> None:
    """Deaths fall on each side of submit, collect, commit, publish, mark_step and step_done."""
    crashes = 0
    for seed in range(100, 112):
        bench = CrashBench(TIGHT, seed)
        for request in requests(4, seed, longest=12):
            bench.submit(request)
        bench.finish()
        crashes += bench.crashes
    assert crashes >= 12


def test_kv_is_kept() -> None:
    bench = Bench()
    stream = bench.submit(Request(list(range(30)), 10))
    for _ in range(4):
        bench.engine.step()
    bench.restart()
    bench.finish()
    assert answer(stream.events) == alone(Request(list(range(30)), 10))
    assert bench.engine.prompt_tokens == 0, "the prompt was computed again"


def test_prefix_names_are_rebuilt() -> None:
    bench = Bench()
    stem = list(range(20))
    bench.submit(Request([*stem, 1], 20))
    for _ in range(3):
        bench.engine.step()
    bench.restart()
    second = Request([*stem, 2], 4)
    assert bench.answers([second]) == [alone(second)]
    assert bench.engine.counters()["prefix_hits"] == 20


@pytest.mark.parametrize("run_steps", [1, 5])
def test_suspects_run_alone_and_are_cleared(run_steps: int) -> None:
    bench = Bench(replace(ROOMY, max_rows=16), run_steps=run_steps)
    asked = [Request([7, i] * 10, 12) for i in range(4)]
    streams = [bench.submit(request) for request in asked]
    for _ in range(5):
        bench.engine.step()
    for stream in streams[1:3]:
        bench.table.set_suspect(stream.record, True)
    bench.restart()
    suspects = {stream.record for stream in streams[1:3]}
    while any(bench.table.suspect(record) for record in suspects):
        accused = {record for record in suspects if bench.table.suspect(record)}
        bench.engine.step()
        in_flight = bench.table.in_flight()
        assert len(in_flight) <= 1
        assert set(in_flight) <= accused or not accused & {r for r in suspects if bench.table.suspect(r)}
    bench.finish()
    assert [answer(stream.events) for stream in streams] == [alone(request) for request in asked]


def test_a_waiting_suspect_gets_its_blocks() -> None:
    bench = Bench(replace(TIGHT, max_sequences=3))
    asked = requests(6, seed=5, longest=30)
    streams = [bench.submit(request) for request in asked]
    for _ in range(4):
        bench.engine.step()
    for stream in streams:
        if not stream.finish:
            bench.table.set_suspect(stream.record, True)
    bench.restart()
    bench.finish()
    assert [answer(stream.events) for stream in streams] == [alone(request) for request in asked]
    assert not any(bench.table.suspect(record) for record in bench.table.live())
