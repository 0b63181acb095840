"""The engine on the null backend: answers depend on the request alone, whatever happens around it."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from ostinato.backends.contract import Plan
from ostinato.backends.sampling import Sampling
from ostinato.engine.records_table import FinishReason
from ostinato.engine.request import Request
from tests.engine.simulate import ROOMY, TIGHT, VOCAB, Bench, alone, answer, requests


@pytest.mark.parametrize("count", [1, 2, 7, 33])
@pytest.mark.parametrize("rows", [7, 512])
def test_company_and_chunks_do_not_matter(count: int, rows: int) -> None:
    plan = replace(ROOMY, max_rows=rows)
    asked = requests(count, seed=count)
    assert Bench(plan).answers(asked) == [alone(request) for request in asked]


@pytest.mark.parametrize("seed", range(6))
def test_tiny_pools_preempt_and_answer_the_same(seed: int) -> None:
    bench = Bench(TIGHT)
    asked = requests(12, seed, longest=30)
    assert bench.answers(asked) == [alone(request) for request in asked]
    assert bench.engine.scheduler.preemptions > 0


def test_max_tokens_ends_with_length() -> None:
    tokens, finish = alone(Request([1, 2, 3], 5, Sampling(temperature=0)))
    assert (len(tokens), finish) == (5, FinishReason.LENGTH)


def test_a_full_context_ends_with_length() -> None:
    tokens, finish = alone(Request([1] * 120, 100, Sampling(temperature=0)))
    assert (len(tokens), finish) == (ROOMY.context - 120, FinishReason.LENGTH)


def test_a_pool_smaller_than_the_context_ends_with_length() -> None:
    plan = replace(TIGHT, blocks=5)
    tokens, finish = Bench(plan).answers([Request([1] * 10, 100)])[0]
    assert (len(tokens), finish) == (5 * plan.block_size - 10, FinishReason.LENGTH)


def test_a_stop_id_ends_and_is_the_last_token() -> None:
    free, _ = alone(Request([5, 6], 20))
    stop = free[7]
    tokens, finish = alone(Request([5, 6], 20, stop_ids=[stop]))
    assert finish is FinishReason.STOP
    assert tokens == free[: free.index(stop) + 1]


@pytest.mark.parametrize("length", [127, 128])
def test_a_prompt_that_leaves_no_room(length: int) -> None:
    expected = ([], FinishReason.ERROR) if length == ROOMY.context else None
    got = alone(Request([1] * length, 3))
    assert got == expected if expected else got[1] is FinishReason.LENGTH


def test_a_token_outside_the_vocabulary_fails_alone() -> None:
    good = requests(5, seed=3)
    bad = Request([1, VOCAB, 2], 4)
    answers = Bench().answers([*good[:2], bad, *good[2:]])
    assert answers.pop(2) == ([], FinishReason.ERROR)
    assert answers == [alone(request) for request in good]


@pytest.mark.parametrize("backend", ["whole", "parts"])
@pytest.mark.parametrize("run_steps", [1, 3, 64])
def test_a_refused_request_harms_nobody_under_way(backend: str, run_steps: int) -> None:
    bench = Bench(backend=backend, run_steps=run_steps)
    good = [replace(request, max_tokens=20, stop_ids=[]) for request in requests(4, seed=8)]
    streams = [bench.submit(request) for request in good]
    for _ in range(5):
        bench.engine.step()
    bad = bench.submit(Request([VOCAB], 4))
    bench.finish()
    assert answer(bad.events) == ([], FinishReason.ERROR)
    assert [answer(stream.events) for stream in streams] == [alone(request) for request in good]


def test_log_probabilities_come_as_asked() -> None:
    bench = Bench()
    stream = bench.submit(Request([1, 2], 3, Sampling(temperature=0, logprobs=2)))
    plain = bench.submit(Request([1, 2], 3, Sampling(temperature=0)))
    bench.finish()
    assert [len(event.top) for event in stream.events] == [2, 2, 2]
    assert all(event.top[0][0] == event.token and event.logprob == 0.0 for event in stream.events)
    assert all(event.top == () and event.logprob != event.logprob for event in plain.events)


@pytest.mark.parametrize("when", range(0, 14))
def test_cancel_at_every_step(when: int) -> None:
    bench = Bench(replace(TIGHT, max_rows=7))
    asked = requests(5, seed=when, longest=24)
    streams = [bench.submit(replace(request, max_tokens=12, stop_ids=[])) for request in asked]
    for _ in range(when):
        bench.engine.step()
    victim = streams[when % 5]
    bench.port.cancel(victim)
    bench.finish()
    for request, stream in zip(asked, streams, strict=True):
        expected, _ = alone(replace(request, max_tokens=12, stop_ids=[]))
        tokens, finish = answer(stream.events)
        assert tokens == expected[: len(tokens)]
        assert finish is FinishReason.LENGTH or stream is victim
    assert bench.engine.paging.available == TIGHT.blocks


def test_cancel_twice_and_after_the_end() -> None:
    bench = Bench()
    stream = bench.submit(Request([1], 3))
    bench.finish()
    assert answer(stream.events)[1] is FinishReason.LENGTH
    bench.port.cancel(stream)
    other = bench.submit(Request([2], 3))
    bench.port.cancel(other)
    bench.port.cancel(other)
    bench.finish()
    assert answer(other.events) == ([], FinishReason.CANCELLED)


def test_a_submit_that_comes_again_is_ignored() -> None:
    bench = Bench()
    stream = bench.submit(Request([1, 2, 3], 4))
    bench.port._commands *= 2
    bench.finish()
    assert len(answer(stream.events)[0]) == 4
    assert bench.engine.generated_tokens == 4


def test_prefix_hits_give_the_same_answer() -> None:
    bench = Bench()
    stem = list(range(40))
    first = Request([*stem, 1], 8)
    second = Request([*stem, 2], 8)
    assert bench.answers([first]) == [alone(first)]
    assert bench.engine.counters()["prefix_hits"] == 0
    assert bench.answers([second, first]) == [alone(second), alone(first)]
    assert bench.engine.counters()["prefix_hits"] == 80


def test_prompts_that_arrive_together_are_computed_once() -> None:
    bench = Bench(replace(ROOMY, max_rows=16))
    asked = [Request([*range(50), i], 6, Sampling(seed=1, choice=i)) for i in range(5)]
    assert bench.answers(asked) == [alone(request) for request in asked]
    assert bench.engine.prompt_tokens == 51 + 4 * (51 - 48)


def test_the_last_prompt_row_is_always_computed() -> None:
    bench = Bench()
    request = Request(list(range(16)), 2)  # four whole blocks
    assert bench.answers([request]) == bench.answers([request])
    assert bench.engine.counters()["prefix_hits"] == 12


def test_an_answer_that_comes_back_as_prompt_is_no_hit() -> None:
    bench = Bench()
    prompt = list(range(10, 18))
    (tokens, _) = bench.answers([Request(prompt, 12)])[0]
    again = Request([*prompt, *tokens[:8], 1], 4)
    assert bench.answers([again]) == [alone(again)]
    assert bench.engine.counters()["prefix_hits"] == 8  # the prompt's two blocks, not the answer's


def test_two_steps_are_in_flight() -> None:
    bench = Bench(run_steps=1)
    bench.submit(Request([1, 2], 8))
    in_flight = []
    while bench.engine.step():
        in_flight.append(len(bench.engine._flights))
    assert in_flight == [1] * 8
    assert bench.engine.steps == 8, "a step was wasted after the last token"


def test_first_come_first_served() -> None:
    bench = Bench(replace(ROOMY, max_sequences=2))
    streams = [bench.submit(Request([i, i], 6)) for i in range(6)]
    ends: list[int] = []
    for _ in range(40):
        bench.engine.step()
        ends += [i for i, stream in enumerate(streams) if stream.finish and i not in ends]
    assert ends == list(range(6))


def test_generated_rows_come_before_prompt_chunks() -> None:
    bench = Bench(replace(ROOMY, max_rows=8))
    early = bench.submit(Request([1, 2], 20))
    bench.engine.step()
    bench.submit(Request([3] * 100, 4))
    produced = []
    for _ in range(10):
        before = len(early.events)
        bench.engine.step()
        produced.append(len(early.events) - before)
    assert produced == [1] * 10, "a long prompt held up an answer"
    bench.finish()


@pytest.mark.parametrize("seed", range(12))
def test_a_random_day(seed: int) -> None:
    rng = random.Random(seed)
    plan = Plan(
        max_rows=rng.choice((3, 7, 24, 512)),
        max_logit_rows=rng.choice((2, 8)),
        max_sequences=rng.choice((2, 8)),
        context=64,
        blocks=rng.choice((16, 24, 60)),
        block_size=rng.choice((4, 8)),
    )
    bench = Bench(plan, backend=rng.choice(("whole", "parts", "pairs")), run_steps=rng.choice((0, 1, 3, 64)))
    cancelled = set()
    asked = [replace(r, prompt=r.prompt[:30]) for r in requests(25, seed)]
    streams = []
    while len(streams) < len(asked) or any(not s.finish for s in streams):
        if len(streams) < len(asked) and rng.random() < 0.4:
            streams.append(bench.submit(asked[len(streams)]))
        if streams and rng.random() < 0.05:
            cancelled.add(rng.randrange(len(streams)))
            bench.port.cancel(streams[max(cancelled)])
        bench.engine.step()
        bench.engine.check_integrity()
    bench.finish()
    assert bench.engine.paging.available == plan.blocks
    for i, (request, stream) in enumerate(zip(asked, streams, strict=True)):
        expected, reason = Bench(replace(plan, max_sequences=1)).answers([request])[0]
        tokens, finish = answer(stream.events)
        assert (tokens, finish) == (expected, reason) or (i in cancelled and tokens == expected[: len(tokens)])
