"""The null backend makes paging bugs loud."""

from __future__ import annotations

import numpy as np
import pytest

from ostinato.backends.batch import Batch, Enter, Span, TableEdit
from ostinato.backends.batch_table import Kind
from ostinato.backends.contract import BatchError, Executable, Plan, StateAction
from ostinato.backends.null import InconsistentStateError, NullBackend
from ostinato.backends.sampling import Sampling
from tests.backends.cases import CASES

PLAN = Plan(max_rows=32, max_sequences=4, context=64, blocks=16, block_size=4)
ATTEND = next(case for case in CASES if case.caches)
GREEDY = Sampling(temperature=0)


def executable(plan: Plan = PLAN) -> Executable:
    programs, tensors = ATTEND.programs()
    return NullBackend().compile(programs, tensors, plan)


def start(e: Executable, slot: int, tokens: list[int], blocks: list[int], sampling: Sampling = GREEDY) -> int:
    e.submit(
        Batch(
            [Span(slot, Kind.PROMPT, 0, tokens, 1, sample=True)],
            [Enter(slot, len(tokens), sampling)],
            [TableEdit(0, slot, 0, blocks)],
        )
    )
    return int(e.collect().tokens[0, 0])


def step(e: Executable, slot: int, start: int, tokens: list[int] | None = None) -> int:
    e.submit(Batch([Span(slot, Kind.GENERATED, start, tokens, 1, sample=True)]))
    return int(e.collect().tokens[0, 0])


def test_tokens_depend_on_the_own_past_only() -> None:
    alone, crowd = executable(), executable()
    start(crowd, 1, [9, 9], [8])
    assert [start(alone, 0, [1, 2, 3], [0, 1]), step(alone, 0, 3)] == [
        start(crowd, 0, [1, 2, 3], [5, 4]),
        step(crowd, 0, 3),
    ]
    assert start(executable(), 0, [1, 2, 4], [0]) != start(executable(), 0, [1, 2, 3], [0])


def test_a_stolen_block_is_noticed() -> None:
    e = executable()
    start(e, 0, [1, 2, 3], [0, 1])
    start(e, 1, [4, 5, 6], [0, 2])
    with pytest.raises(InconsistentStateError, match="position 0 of cache 0"):
        step(e, 0, 3)


def test_a_row_of_the_wrong_kind_is_noticed() -> None:
    e = executable()
    start(e, 0, [1, 2, 3], [0, 1])
    with pytest.raises(InconsistentStateError, match="wrong kind"):
        e.submit(Batch([Span(0, Kind.PROMPT, 3, [7], 1)]))


def test_state_survives_in_the_callers_memory() -> None:
    group = ATTEND.caches[0]
    plan = Plan(max_rows=32, max_sequences=4, context=64, blocks=16, block_size=4,
                memory={group.name: memoryview(bytearray(PLAN.cache_bytes(group)))})  # fmt: skip
    first = executable(plan)
    token = start(first, 0, [1, 2, 3], [3, 5])
    wanted = step(first, 0, 3)
    second = executable(plan)
    second.submit(
        Batch(
            [Span(2, Kind.GENERATED, 3, [token], 1, sample=True)],
            [Enter(2, 3, GREEDY, [1, 2, 3])],
            [TableEdit(0, 2, 0, [3, 5])],
        )
    )
    assert int(second.collect().tokens[0, 0]) == wanted


def test_copy_spill_restore() -> None:
    e = executable()
    start(e, 0, [1, 2, 3], [0, 1])
    e.state(StateAction.COPY, 0, [0, 1], to=[6, 7])
    spilled = e.state(StateAction.SPILL, 0, [0])
    e.state(StateAction.RESTORE, 0, [9], data=spilled)
    e.submit(Batch([Span(0, Kind.GENERATED, 3, None, 1, sample=True)], tables=[TableEdit(0, 0, 0, [9, 7])]))
    moved = int(e.collect().tokens[0, 0])
    other = executable()
    start(other, 0, [1, 2, 3], [0, 1])
    assert moved == step(other, 0, 3)


def test_at_most_two_in_flight() -> None:
    e = executable()
    start(e, 0, [1], [0, 1])
    for position in (1, 2):
        e.submit(Batch([Span(0, Kind.GENERATED, position, None, 1, sample=True)]))
    with pytest.raises(RuntimeError, match="in flight"):
        e.submit(Batch([Span(0, Kind.GENERATED, 3, None, 1, sample=True)]))


@pytest.mark.parametrize(
    ("span", "says"),
    [
        (Span(9, Kind.PROMPT, 0, [1]), "4 slots"),
        (Span(0, Kind.PROMPT, 60, [1] * 5), "the context is 64"),
        (Span(0, Kind.PROMPT, 0, []), r"positions 0\+0"),
        (Span(0, Kind.PROMPT, 0, [1] * 33), "33 rows"),
        (Span(0, Kind.PROMPT, 0, [10**6]), "outside the vocabulary"),
        (Span(0, Kind.PROMPT, 0, [1], 2), "2 logit rows"),
        (Span(0, Kind.PROMPT, 0, [1], 0, sample=True), "0 logit rows"),
        (Span(0, Kind.PROMPT, 0, [1], adapter=1), "adapter 1"),
    ],
)
def test_batches_outside_the_plan_are_refused(span: Span, says: str) -> None:
    with pytest.raises(BatchError, match=says):
        executable().submit(Batch([span]))


def test_logits_are_one_hot() -> None:
    e = executable()
    e.submit(
        Batch([Span(0, Kind.PROMPT, 0, [1, 2], 2)], [Enter(0, 2, GREEDY)], [TableEdit(0, 0, 0, [0])], want_logits=True)
    )
    assert np.array_equal(np.sort(e.collect().outputs["logits"], axis=1)[:, -2:], [[0, 1], [0, 1]])
