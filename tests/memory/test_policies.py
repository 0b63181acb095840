"""Policies against their definitions: naive caches step by step, and for the oracle every possible choice."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato import _memory
from ostinato.memory.options import ReadMode
from ostinato.memory.simulate import POLICIES, compare, hit_rate
from ostinato.memory.trace import make_trace
from tests.memory.worlds import ScriptedSource, World, counted, ints, world

Steps = list[list[int]]
PARCELS = 7
HALF_LIFE = 3.0

steps_of = st.lists(st.lists(st.integers(0, PARCELS - 1), min_size=1, max_size=3, unique=True), max_size=40)


def simulated(steps: Steps, slots: int, policy: str, kept: Sequence[int] = ()) -> list[int]:
    trace = make_trace(steps)
    hits = _memory.simulate(trace.arrays, ints([0] * PARCELS), ints([slots]), ints(kept), policy, HALF_LIFE)
    return [int(n) for n in hits]


Score = Callable[[Steps, int, int], float]  # (steps, now, parcel) -> worth after step `now`


def recency(steps: Steps, now: int, parcel: int) -> float:
    return max((s for s in range(now + 1) if parcel in steps[s]), default=-1)


def frequency(steps: Steps, now: int, parcel: int) -> float:
    return sum(parcel in step for step in steps[: now + 1])


def faded(steps: Steps, now: int, parcel: int) -> float:
    return sum(2.0 ** ((s - now) / HALF_LIFE) for s in range(now + 1) if parcel in steps[s])


def naive(steps: Steps, slots: int, score: Score) -> list[int]:
    """The same cache, with worths computed anew each time. Equal worths: the longest unused, then the lowest number."""
    there: set[int] = set()
    hits = []
    for now, step in enumerate(steps):
        hits.append(len(there & set(step)))
        used = set(step) & there
        for parcel in step:
            if parcel in there:
                continue
            if len(there) == slots:
                order = {p: (round(score(steps, now, p), 9), recency(steps, now, p), p) for p in there - used}
                if not order:
                    continue
                there.remove(min(order, key=lambda p: order[p]))
            there.add(parcel)
            used.add(parcel)
        assert len(there) <= slots
    return hits


@pytest.mark.parametrize(("policy", "score"), [("lru", recency), ("lfu", frequency), ("lfru", faded)])
@settings(max_examples=150, deadline=None)
@given(steps=steps_of, slots=st.integers(1, 6))
def test_against_a_naive_cache(policy: str, score: Score, steps: Steps, slots: int) -> None:
    assert simulated(steps, slots, policy) == naive(steps, slots, score)


def best(steps: Steps, slots: int) -> int:
    """The most hits of any choice of victims, by trying all of them."""
    reached = {frozenset[int](): 0}
    for step in steps:
        after: dict[frozenset[int], int] = {}
        for there, hits in reached.items():
            room = slots - len(step)
            others = sorted(there - set(step))
            for stay in itertools.combinations(others, min(room, len(others))):
                state = frozenset(step) | frozenset(stay)
                after[state] = max(after.get(state, 0), hits + len(there & set(step)))
        reached = after
    return max(reached.values())


@settings(max_examples=100, deadline=None)
@given(steps=st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=2, unique=True), max_size=14),
       slots=st.integers(2, 4))  # fmt: skip
def test_the_oracle_is_the_best_there_is(steps: Steps, slots: int) -> None:
    assert sum(simulated(steps, slots, "oracle")) == best(steps, slots)


@settings(max_examples=50, deadline=None)
@given(steps=steps_of, slots=st.integers(3, 6))
def test_no_policy_beats_the_oracle(steps: Steps, slots: int) -> None:
    bound = sum(simulated(steps, slots, "oracle"))
    assert all(sum(simulated(steps, slots, policy)) <= bound for policy in POLICIES)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_store_evicts_as_the_simulation_does(policy: str) -> None:
    rng = np.random.default_rng(4)
    steps = [rng.choice(PARCELS, 2, replace=False, p=np.array([9, 5, 3, 2, 1, 1, 1]) / 22).tolist() for _ in range(80)]
    w = world(PARCELS)
    trace = make_trace(steps)
    store = w.store(ScriptedSource(w.data), 4, policy=policy, half_life=HALF_LIFE, trace=trace.arrays)
    request = _memory.Request(store)
    for number, step in enumerate(steps):
        before = counted(store, "hits")
        request.want(ints(step))
        assert all(request.wait(parcel) == "" for parcel in step)
        assert counted(store, "hits") - before == simulated(steps, 4, policy)[number]
        request.clear()
        store.check_integrity()


def test_what_python_calls_them_is_what_there_is() -> None:
    assert _memory.POLICIES == POLICIES
    assert tuple(mode.value for mode in ReadMode) == _memory.MODES


def test_lfru_lies_between_lru_and_lfu() -> None:
    rng = np.random.default_rng(1)
    trace = make_trace([rng.choice(PARCELS, 2, replace=False).tolist() for _ in range(300)])
    rates = {p: hit_rate(trace, [0] * PARCELS, [4], p, 1.0) for p in ("lru", "lfu")}
    assert hit_rate(trace, [0] * PARCELS, [4], "lfru", 1e-3) == rates["lru"]
    assert hit_rate(trace, [0] * PARCELS, [4], "lfru", 1e9) == pytest.approx(rates["lfu"], abs=0.02), "but for ties"


def test_scores_stay_finite_for_ever() -> None:
    steps = [[0, 1], [2, 3]] * 3000
    trace = make_trace(steps)
    assert math.isfinite(hit_rate(trace, [0] * 4, [3], "lfru", 1e-2))


def test_kept_parcels_are_hits_and_cost_slots() -> None:
    steps = [[0], [1], [2]] * 4
    assert simulated(steps, 2, "lru") == [0] * 12
    assert simulated(steps, 2, "lru", kept=[1]) == [0, 1, 0] * 4
    with pytest.raises(ValueError, match="kept"):
        simulated(steps, 2, "lru", kept=[1, 2, 3])


def test_more_than_there_are_slots_for_is_computed_in_portions() -> None:
    assert simulated([[0, 1, 2, 3], [0, 1, 2, 3]], 2, "lru") == [0, 2]


def test_layers_with_slots_of_their_own_do_not_compete() -> None:
    trace = make_trace([[0], [4], [5], [6], [0]])
    cache = [0, 0, 0, 0, 1, 1, 1]
    assert hit_rate(trace, cache, [1, 2], "lru", 1.0) == 0.2
    assert hit_rate(trace, [0] * PARCELS, [3], "lru", 1.0) == 0.0
    assert set(compare(trace, cache, [1, 2], 1.0)) == set(POLICIES)


@pytest.mark.parametrize(
    "arrays", [([1, 2], [0, 0]), ([0, 3], [0, 0]), ([0, 2, 1, 2], [0, 0]), ([0, 1], [9]), ([], [])]
)
def test_a_trace_that_is_none_is_refused(arrays: tuple[list[int], list[int]]) -> None:
    trace = (np.array(arrays[0], np.int64), ints(arrays[1]))
    with pytest.raises(ValueError, match="trace"):
        _memory.simulate(trace, ints([0] * PARCELS), ints([2]), ints([]), "lru", 1.0)


def touched(w: World, slots: int, steps: Sequence[tuple[list[int], list[float] | None, float]]) -> _memory.Store:
    """An LFRU store of whose parcels these were wanted, by so many rows, after so many halvings."""
    store = w.store(ScriptedSource(w.data), slots, policy="lfru", half_life=HALF_LIFE)
    request = _memory.Request(store)
    for parcels, rows, age in steps:
        request.want(ints(parcels), None if rows is None else np.array(rows), age)
        assert all(request.wait(parcel) == "" for parcel in parcels)
        request.clear()
    store.check_integrity()
    return store


def resident(store: _memory.Store) -> list[int]:
    return [parcel for parcel, state in enumerate(store.states()) if state == 3]


def test_a_parcel_counts_as_often_as_rows_want_it() -> None:
    w = world(PARCELS)
    assert resident(touched(w, 3, [([0, 1, 2], [5, 1, 3], 0), ([3], None, 0)])) == [0, 2, 3]
    assert resident(touched(w, 3, [([0, 1, 2], None, 0), ([0], [4], 0), ([3], None, 0)])) == [0, 2, 3]


def test_a_step_of_many_tokens_leaves_what_as_many_steps_would() -> None:
    """By the same worth they go, one after the other, those too that none of its tokens wanted."""
    rng = np.random.default_rng(7)
    w, everything = world(PARCELS), list(range(PARCELS))
    skew = np.array([9, 5, 3, 2, 1, 1, 0]) / 21
    for tokens in (6, 20, 60):
        rows = [rng.choice(PARCELS, 2, replace=False, p=skew).tolist() for _ in range(tokens)]
        faded = [
            sum(2.0 ** ((r - tokens + 1) / HALF_LIFE) for r, row in enumerate(rows) if p in row) for p in everything
        ]
        before = (everything, rng.uniform(1, 9, PARCELS).tolist(), 0.0)
        wanted = [parcel for parcel in everything if faded[parcel]]
        once = touched(w, PARCELS, [before, (wanted, [faded[p] for p in wanted], (tokens - 1) / HALF_LIFE)])
        singly = touched(w, PARCELS, [before, *((row, None, 0.0) for row in rows)])
        assert len(wanted) < PARCELS
        for slots in range(PARCELS - 1, 0, -1):
            assert once.resize(0, slots, [slots])
            assert singly.resize(0, slots, [slots])
            assert resident(once) == resident(singly)


def test_rows_and_ages_must_be_sound() -> None:
    w = world(PARCELS)
    request = _memory.Request(w.store(ScriptedSource(w.data), 3))
    for rows, age in (([1.0], 0.0), ([1.0, 0.0], 0.0), ([1.0, math.nan], 0.0), (None, -1.0), (None, math.nan)):
        with pytest.raises(ValueError, match="wanted by some rows"):
            request.want(ints([0, 1]), None if rows is None else np.array(rows), age)
