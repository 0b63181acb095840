"""Rows that kill the engine, wherever they lie: their request fails, after two deaths; nobody else notices."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from ostinato.backends.contract import Plan
from ostinato.backends.sampling import Sampling
from ostinato.engine.records_table import FinishReason
from ostinato.engine.request import Request
from tests.engine.simulate import ROOMY, TIGHT, Bench, CrashBench, alone, answer

GREEDY = Sampling(temperature=0)
CHUNKED = replace(ROOMY, max_rows=8)  # prompts take several steps


def requests(count: int, rng: random.Random) -> list[Request]:
    """Prompts of few different tokens, so that a generated one is easily poison."""
    return [
        Request([rng.randrange(12) for _ in range(rng.randrange(1, 50))], rng.randrange(6, 24)) for _ in range(count)
    ]


def choose_poison(asked: list[Request], rng: random.Random) -> tuple[int, int]:
    """Which request dies, and of which token that no other computes. The last token of an answer is not computed."""
    rows = [set(request.prompt) | set(alone(request)[0][:-1]) for request in asked]
    count = Counter(token for tokens in rows for token in tokens)
    return rng.choice([(i, token) for i, tokens in enumerate(rows) for token in sorted(tokens) if count[token] == 1])


@pytest.mark.parametrize("forgetful", [False, True], ids=["", "forgetful"])
@pytest.mark.parametrize("plan", [ROOMY, CHUNKED, TIGHT], ids=["roomy", "chunked", "tight"])
@pytest.mark.parametrize("seed", range(5))
def test_poison_costs_its_request_and_two_deaths(plan: Plan, forgetful: bool, seed: int) -> None:
    """Whatever else kills the engine meanwhile, and though what was computed may be computed again from the start."""
    rng = random.Random(seed)
    asked = requests(6, rng)
    guilty, token = choose_poison(asked, rng)
    bench = CrashBench(plan, seed, forgetful, token)
    streams = [bench.submit(request) for request in asked]
    bench.finish()
    whole = alone(asked[guilty])[0]
    tokens, finish = answer(streams[guilty].events)
    assert (tokens, finish) == (whole[: whole.index(token) + 1] if token in whole else [], FinishReason.FAULT)
    for request, stream in zip(asked, streams, strict=True):
        assert stream is streams[guilty] or answer(stream.events) == alone(request)
    assert bench.faults == 2
    assert bench.engine.paging.available == plan.blocks


def steps_alone(bench: Bench) -> int:
    """Accuses everyone and restarts; steps until nobody is suspected."""
    for record in bench.table.in_flight():
        bench.table.set_suspect(record, True)
    bench.restart()
    before = bench.engine.steps
    while any(bench.table.suspect(record) for record in bench.table.live()):
        bench.engine.step()
    return bench.engine.steps - before


@pytest.mark.parametrize(("run_steps", "steps"), [(1, 1), (5, 5), (30, 30)])
def test_suspects_are_alone_up_to_where_their_step_died(run_steps: int, steps: int) -> None:
    bench = Bench(backend="parts", run_steps=run_steps)
    bench.submit(Request([1, 2], 60, GREEDY))
    while bench.engine.runs < 1 and bench.engine.steps < 4:
        bench.engine.step()
    assert steps_alone(bench) == steps


def test_a_suspect_whose_keys_and_values_died_computes_them_first() -> None:
    bench = Bench(CHUNKED, backend="forgetful", run_steps=1)
    bench.submit(Request(list(range(64)), 20, GREEDY))
    while bench.engine.generated_tokens < 5:
        bench.engine.step()
    assert steps_alone(bench) == 64 // 8 + 1, "its prompt in chunks, then what it had generated"
