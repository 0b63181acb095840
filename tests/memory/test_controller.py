"""The elastic controller: what it gives to whom, that it beats equal shares where layers differ, and that it rests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ostinato import _memory
from ostinato.memory import elastic as controller
from ostinato.memory.budget import CachePlan, MemoryPlan, PoolPlan
from ostinato.memory.division import Division
from ostinato.memory.elastic import LOOK_STEPS, Elastic
from tests.memory.worlds import ScriptedSource, World, counted, ints, world

LAYERS, EXPERTS, CHOSEN = 4, 24, 3


def planned(slots: Sequence[int], sizes: Sequence[int] = (), pool_of: Sequence[int] = ()) -> MemoryPlan:
    """A cache for every layer; all in one pool of slots of one byte unless said otherwise."""
    pool_of, sizes = pool_of or [0] * len(slots), sizes or [1]
    caches = tuple(CachePlan(pool, quota) for pool, quota in zip(pool_of, slots, strict=True))
    totals = [sum(c.quota for c in caches if c.pool == pool) for pool in range(len(sizes))]
    counts = [EXPERTS * sum(own == pool for own in pool_of) for pool in range(len(sizes))]
    pools = tuple(PoolPlan(*each) for each in zip(sizes, totals, counts, strict=True))
    return MemoryPlan(0, pools, caches, tuple(layer for layer in range(len(slots)) for _ in range(EXPERTS)), 1)


def test_slots_go_to_the_most_wanted() -> None:
    heat = np.ones((3, EXPERTS))
    heat[1, :10] = 50
    heat[2, 3] = 9
    division = Division(planned([8, 8, 8]))
    made = division.plan(heat.reshape(-1), 24)
    assert [cache.quota for cache in made.caches] == [7, 10, 7], "what is left goes to the emptiest"
    assert made.pools[0].slots == 24
    assert division.expected_hits(heat.reshape(-1), made) == 7 + 500 + 15
    few = division.plan(heat.reshape(-1), 13)
    assert [cache.quota for cache in few.caches] == [2, 9, 2], "two are the least that works"


def test_no_division_hits_more() -> None:
    rng = np.random.default_rng(1)
    heat = rng.gamma(0.4, 10, 2 * EXPERTS)
    division = Division(planned([2, 2]))
    for budget in range(4, 2 * EXPERTS + 1):
        made = division.plan(heat, budget)
        others = [planned([a, budget - a]) for a in range(2, min(EXPERTS, budget - 2) + 1) if budget - a <= EXPERTS]
        best = max(division.expected_hits(heat, other) for other in others)
        assert division.expected_hits(heat, made) == pytest.approx(best)


def test_large_parcels_must_be_worth_their_bytes() -> None:
    heat = np.concatenate([np.full(EXPERTS, 10.0), np.full(EXPERTS, 12.0)])
    made = Division(planned([4, 4], sizes=[1, 2], pool_of=[0, 1])).plan(heat, 30)
    assert [pool.slots for pool in made.pools] == [EXPERTS, 3]
    assert made.slot_bytes == 30


def test_what_nobody_wants_is_divided_evenly() -> None:
    made = Division(planned([8, 8, 8])).plan(np.zeros(3 * EXPERTS), 20)
    assert sorted(cache.quota for cache in made.caches) == [6, 7, 7]


def one_by_one(heat: NDArray[np.float64], made: MemoryPlan, budget: int) -> list[int]:
    """The same in plain Python: each slot to the cache whose next parcel is worth most; of equal ones the emptiest."""
    members = [np.flatnonzero(np.array(made.cache) == number) for number in range(len(made.caches))]
    ranked = [sorted(heat[own], reverse=True) for own in members]
    size = [made.pools[cache.pool].slot_bytes for cache in made.caches]
    quotas = [2] * len(members)
    while True:
        left = budget - sum(q * s for q, s in zip(quotas, size, strict=True))
        open = [n for n, own in enumerate(members) if quotas[n] < len(own) and size[n] <= left]
        if not open:
            return quotas
        quotas[max(open, key=lambda n: (ranked[n][quotas[n]] / size[n], -quotas[n] / len(members[n]), -n))] += 1


@pytest.mark.parametrize("seed", range(8))
def test_slots_go_where_they_would_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    heat = np.floor(rng.gamma(0.4, 4, 5 * EXPERTS))  # many are equal, and many none
    plan = planned([4] * 5, sizes=[2, 3, 7], pool_of=[0, 1, 2, 1, 0])
    for budget in rng.integers(70, 400, 12).tolist():
        made = Division(plan).plan(heat, budget)
        assert [cache.quota for cache in made.caches] == one_by_one(heat, plan, budget)


def skewed(steps: int, seed: int, skews: Sequence[float]) -> Iterator[NDArray[np.int32]]:
    """Token by token, layer by layer: experts by Zipf's law, with another exponent and order in every layer."""
    rng = np.random.default_rng(seed)
    chosen = []
    for layer, skew in enumerate(skews):
        order = np.random.default_rng(9 + layer).permutation(EXPERTS)
        keys = rng.gumbel(size=(steps, EXPERTS)) - skew * np.log(np.arange(1, EXPERTS + 1))
        chosen.append(layer * EXPERTS + order[np.argsort(-keys, axis=1)[:, :CHOSEN]])  # in turn, none twice
    for step in range(steps):
        yield from (own[step].astype(np.int32) for own in chosen)


def small_world() -> World:
    w = world(LAYERS * EXPERTS, layers=LAYERS, largest=600)
    w.cache = w.layer
    return w


def serve(store: _memory.Store, trace: Iterator[NDArray[np.int32]], elastic: Elastic | None) -> float:
    """Wants all of it; the hit rate."""
    request = _memory.Request(store)
    before = counted(store, "hits"), counted(store, "misses")
    for number, wanted in enumerate(trace):
        request.want(wanted)
        while arrived := request.take():
            for parcel, error in arrived:
                assert error == ""
                request.release(parcel)
        if elastic and number % LAYERS == LAYERS - 1:
            elastic.step()
    hits, misses = counted(store, "hits") - before[0], counted(store, "misses") - before[1]
    return hits / (hits + misses)


def opened(w: World, quota: int) -> tuple[_memory.Store, MemoryPlan]:
    slots = LAYERS * quota
    source, caches = ScriptedSource(w.data), [(0, quota)] * LAYERS
    store = w.store(source, slots, caches=caches, policy="lfru", half_life=16.0 * LAYERS)
    return store, planned([quota] * LAYERS, sizes=[w.slot_bytes])


def test_it_beats_equal_shares_where_layers_differ_and_follows_when_they_change() -> None:
    w = small_world()
    fixed, _ = opened(w, 8)
    moving, plan = opened(w, 8)
    elastic = Elastic(moving, plan)
    uneven = (0.0, 0.1, 3.0, 3.1)  # the best of all fixed divisions hits 0.03 more than equal shares
    for skews, seed in ((uneven, 1), (uneven[::-1], 2)):
        serve(fixed, skewed(800, seed, skews), None)
        serve(moving, skewed(800, seed, skews), elastic)  # it learns
        equal = serve(fixed, skewed(400, seed + 10, skews), None)
        divided = serve(moving, skewed(400, seed + 10, skews), elastic)
        assert divided > equal + 0.015
        moving.check_integrity()
        quotas = [cache.quota for cache in elastic.plan.caches]
        assert sum(quotas) == 4 * 8
        assert all((quota > 8) == (skew < 1) for quota, skew in zip(quotas, skews, strict=True))
    assert moving.bytes == fixed.bytes == moving.budget


def test_it_rests_where_layers_are_alike() -> None:
    store, plan = opened(small_world(), 8)
    elastic = Elastic(store, plan)
    serve(store, skewed(LOOK_STEPS * 12, 3, (1.0,) * LAYERS), elastic)
    assert elastic.looks == 12
    assert elastic.moves <= 2, "what the first looks take for a difference"
    assert elastic.plan == plan or max(cache.quota for cache in elastic.plan.caches) <= 11


def want_all(store: _memory.Store, times: int, layers: Sequence[int], experts: int) -> None:
    """The first experts of each of those layers, again and again."""
    request = _memory.Request(store)
    for _ in range(times):
        for layer in layers:
            request.want(ints(range(layer * EXPERTS, layer * EXPERTS + experts)))
            while arrived := request.take():
                for parcel, _ in arrived:
                    request.release(parcel)


def test_a_move_waits_for_parcels_in_use() -> None:
    store, plan = opened(small_world(), 8)
    elastic = Elastic(store, plan)
    request = _memory.Request(store)
    held = list(range(8))  # all slots of layer 0
    request.want(ints(held))
    for parcel in held:
        assert request.wait(parcel) == ""
    want_all(store, 40, range(1, LAYERS), 10)
    elastic.look()
    assert not elastic.move()
    assert elastic.plan == plan
    store.check_integrity()
    for parcel in held:
        request.release(parcel)
    assert elastic.move()
    assert [cache.quota for cache in elastic.plan.caches] == [2, 10, 10, 10]
    assert elastic.moves == 1
    store.check_integrity()


def test_what_is_kept_follows_the_slots() -> None:
    store, plan = opened(small_world(), 8)

    def kept_of(made: MemoryPlan) -> list[int]:
        return [layer * EXPERTS + n for layer, cache in enumerate(made.caches) for n in range(cache.quota // 2)]

    store.keep(ints(kept_of(plan)))
    elastic = Elastic(store, plan, kept_of)
    want_all(store, 40, range(1, LAYERS), 10)
    elastic.look()
    assert elastic.move()
    assert [cache.quota for cache in elastic.plan.caches] == [2, 10, 10, 10]
    want_all(store, 3, range(LAYERS), EXPERTS)
    states = store.states()
    assert all(states[parcel] == 3 for parcel in kept_of(elastic.plan)), "whoever came, these stayed"
    store.check_integrity()


def test_what_is_kept_is_whole_again_where_a_move_is_given_up() -> None:
    store, plan = opened(small_world(), 8)
    kept = [layer * EXPERTS + n for layer in range(LAYERS) for n in range(4)]
    store.keep(ints(kept))
    want_all(store, 1, range(LAYERS), 4)
    elastic = Elastic(store, plan, lambda made: kept if made == plan else kept[4:])
    request = _memory.Request(store)
    request.want(ints(range(8)))  # all slots of layer 0
    assert all(request.wait(parcel) == "" for parcel in range(8))
    want_all(store, 40, range(1, LAYERS), 10)
    elastic.look()
    assert not elastic.move()
    request.clear()
    want_all(store, 400, range(1), 8)
    want_all(store, 40, range(1, LAYERS), 8)
    elastic.look()
    assert elastic.move()
    assert elastic.plan == plan, "now all layers are alike"
    assert elastic.moves == 0
    want_all(store, 3, range(LAYERS), EXPERTS)
    assert all(store.states()[parcel] == 3 for parcel in kept), "whoever came, these stayed"
    store.check_integrity()


def test_slots_shrink_and_grow_with_the_memory_there_is() -> None:
    w = small_world()
    store, plan = opened(w, 8)
    elastic = Elastic(store, plan)
    want_all(store, 4, (1,), 20)
    elastic.look()
    elastic.shrink(10 * w.slot_bytes)
    assert store.bytes == store.budget == elastic.bytes == 22 * w.slot_bytes
    elastic.grow(15 * w.slot_bytes)
    assert elastic.move()
    assert store.bytes == store.budget == 37 * w.slot_bytes
    assert elastic.plan.caches[1].quota == 20
    store.check_integrity()


def test_what_stays_in_use_keeps_its_slots(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(controller, "PATIENCE", 0.02)
    w = small_world()
    store, plan = opened(w, 8)
    elastic = Elastic(store, plan)
    request = _memory.Request(store)
    held = [layer * EXPERTS + n for layer in range(LAYERS) for n in range(8)]  # all slots
    request.want(ints(held))
    assert all(request.wait(parcel) == "" for parcel in held)
    assert not elastic.shrink(10 * w.slot_bytes)
    assert "of slots are wanted back and were in use" in caplog.text
    assert store.bytes == store.budget == elastic.bytes == plan.slot_bytes
    assert elastic.plan == plan
    request.clear()
    assert elastic.shrink(10 * w.slot_bytes)
    store.check_integrity()


class Refuses:
    """A store on a system that has no memory for more slots."""

    def __init__(self, store: _memory.Store) -> None:
        self._store = store
        self.refused = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def resize(self, pool: int, slots: int, quotas: Sequence[int]) -> bool:
        if slots * self._store.occupancy()[pool][0] > self._store.bytes:
            self.refused += 1
            raise _memory.NoMemoryError("no memory for 5 bytes of slots")
        return self._store.resize(pool, slots, quotas)


def test_a_system_without_memory_for_more_slots_is_asked_once(caplog: pytest.LogCaptureFixture) -> None:
    w = small_world()
    store, plan = opened(w, 8)
    poor = Refuses(store)
    elastic = Elastic(poor, plan)  # type: ignore[arg-type]
    elastic.grow(15 * w.slot_bytes)
    assert not elastic.move()
    assert "no memory for 5 bytes" in caplog.text
    for _ in range(3):
        want_all(store, 40, range(1, LAYERS), 10)
        elastic.look()
        assert elastic.move()
    assert poor.refused == 1
    assert store.bytes == plan.slot_bytes
    assert [cache.quota for cache in elastic.plan.caches] == [2, 10, 10, 10], "what there is still moves"
    elastic.shrink(15 * w.slot_bytes)
    assert elastic.bytes == store.budget == plan.slot_bytes
    store.check_integrity()


def test_what_is_kept_is_said_once_however_often_a_move_is_tried() -> None:
    store, plan = opened(small_world(), 8)
    kept = [layer * EXPERTS for layer in range(LAYERS)]
    store.keep(ints(kept))
    asked: list[MemoryPlan] = []

    def kept_of(made: MemoryPlan) -> list[int]:
        asked.append(made)
        return kept if made == plan else kept[1:]

    elastic = Elastic(store, plan, kept_of)
    request = _memory.Request(store)
    request.want(ints(range(8)))
    assert all(request.wait(parcel) == "" for parcel in range(8))
    want_all(store, 40, range(1, LAYERS), 10)
    elastic.look()
    hinted = counted(store, "hinted")
    assert not any(elastic.move() for _ in range(5))
    assert asked == [plan, elastic._target]
    assert counted(store, "hinted") == hinted
    request.clear()
    assert elastic.move()
