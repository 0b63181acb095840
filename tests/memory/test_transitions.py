"""Statistics of which experts follow which, against sums made in plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato._memory import COUNTERS, Transitions
from ostinato.api import Model
from ostinato.memory.options import Prefetch
from tests.memory.streamed import opened_with
from tests.memory.worlds import ints

STACKS = (5, 7, 3)
HALF_LIFE = 4.0
TOP_K = 2


def rows_of(stack: int) -> st.SearchStrategy[list[list[int]]]:
    row = st.lists(st.integers(0, STACKS[stack] - 1), min_size=TOP_K, max_size=TOP_K, unique=True)
    return st.lists(row, min_size=1, max_size=3)


def table(rows: list[list[int]]) -> np.ndarray:
    return np.array(rows, np.int32).reshape(len(rows), -1)


def scores(seen: list[tuple[list[int], list[int]]], ids: list[int], experts: int) -> list[float]:
    """For each expert the sum over `ids` of the faded share of their uses that it followed."""
    total = [0.0] * experts
    for expert in ids:
        uses = [to for own, to in seen if expert in own]
        weights = [2 ** (-(len(uses) - 1 - at) / HALF_LIFE) for at in range(len(uses))]
        for weight, to in zip(weights, uses, strict=True):
            for follower in to:
                total[follower] += weight / sum(weights)
    return total


@settings(max_examples=60, deadline=None)
@given(data=st.data(), tokens=st.integers(1, 6))
def test_against_plain_sums(data: st.DataObject, tokens: int) -> None:
    transitions = Transitions(STACKS, HALF_LIFE)
    seen: dict[int, list[tuple[list[int], list[int]]]] = {stack: [] for stack in range(len(STACKS))}
    last: list[list[int]] = []
    for step in range(tokens * len(STACKS)):
        stack = step % len(STACKS)
        rows = data.draw(rows_of(stack))
        if len(rows) == len(last):
            seen[(stack - 1) % len(STACKS)] += zip(last, rows, strict=True)
        transitions.observe(stack, table(rows))
        last = rows
        wanted = scores(seen[stack], rows[0], STACKS[(stack + 1) % len(STACKS)])
        found = transitions.predict(stack, ints(rows[0]), 3)
        assert len(found) == len(set(found)) == min(3, sum(score > 0 for score in wanted))
        best = sorted(wanted, reverse=True)
        np.testing.assert_allclose([wanted[expert] for expert in found], best[: len(found)], rtol=1e-4)


def test_what_always_follows_is_foretold() -> None:
    rng = np.random.default_rng(0)
    follows = [rng.permutation(16) for _ in range(3)]
    transitions = Transitions([16] * 3, 32.0)
    for _ in range(200):
        ids = rng.choice(16, 4, replace=False).astype(np.int32)
        for stack in range(3):
            transitions.observe(stack, ids[None])
            ids = follows[stack][ids].astype(np.int32)
    ids = np.array([1, 5, 9, 13], np.int32)
    assert sorted(transitions.predict(1, ids, 4)) == sorted(follows[1][ids])


def test_the_past_fades() -> None:
    transitions = Transitions([2, 2], 2.0)
    for follower, times in ((0, 50), (1, 4)):
        for _ in range(times):
            transitions.observe(0, table([[0]]))
            transitions.observe(1, table([[follower]]))
    assert transitions.predict(0, ints([0]), 2) == [1, 0]


def test_nothing_is_foretold_of_what_was_never_seen() -> None:
    transitions = Transitions(STACKS, HALF_LIFE)
    transitions.observe(0, table([[0, 1]]))
    transitions.observe(2, table([[0, 1]]))  # not the next stack
    transitions.observe(0, table([[0, 1], [2, 3]]))  # of another number of rows
    assert [transitions.predict(stack, ints([0, 1]), 9) for stack in range(3)] == [[], [], []]


def test_nothing_is_learned_across_a_restart() -> None:
    transitions = Transitions(STACKS, HALF_LIFE)
    transitions.observe(0, table([[0, 1]]))
    transitions.restart()
    transitions.observe(1, table([[2, 3]]))
    transitions.observe(2, table([[0, 1]]))
    assert transitions.predict(0, ints([0, 1]), 9) == []
    assert transitions.predict(1, ints([2, 3]), 9) == [0, 1]


def test_the_first_layer_follows_only_from_the_token_before() -> None:
    """A prompt's rows and other sequences' tell nothing about the next token of this one."""
    with opened_with(0.5, prefetch=Prefetch.TRANSITIONS) as opened, Model(opened) as model:
        store = model._executable.store
        assert store is not None

        def hinted(tokens: int) -> int:
            """Of the first layer, after a prompt of one token and so many more."""
            list(model.events([300 + tokens], max_tokens=tokens, ignore_eos=True))
            return int(store.native.counters()[0][COUNTERS.index("hinted")])

        model.logits([5, 6, 7])
        model.logits([8, 9, 10])
        assert [hinted(1), hinted(1)] == [0, 0]
        assert hinted(4) > 0


@pytest.mark.parametrize(
    ("experts", "half_life"), [([], 1.0), ([4, 0], 1.0), ([4], 0.0), ([4], -1.0), ([4], float("nan"))]
)
def test_refuses_what_cannot_be_counted(experts: list[int], half_life: float) -> None:
    with pytest.raises(ValueError, match="transitions"):
        Transitions(experts, half_life)


def test_refuses_what_is_not_there() -> None:
    transitions = Transitions(STACKS, HALF_LIFE)
    for stack, ids in ((3, [0]), (-1, [0]), (0, [5]), (0, [-1])):
        with pytest.raises(ValueError, match="there is no such"):
            transitions.observe(stack, table([ids]))
        with pytest.raises(ValueError, match="there is no such"):
            transitions.predict(stack, ints(ids), 1)
    with pytest.raises(ValueError, match="as many experts"):
        transitions.observe(0, np.zeros((1, 0), np.int32))
