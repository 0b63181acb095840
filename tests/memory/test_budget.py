"""Budgets read and planned: never more than allowed, fair to all sizes, refused with what would do."""

from __future__ import annotations

import re
from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato import _memory
from ostinato.memory.budget import LEAST_SLOTS, BudgetError, MemoryPlan, amount, kept_layers, padded, parse_budget, plan
from ostinato.memory.parcels import Extent, Parcel, Parcels
from ostinato.memory.simulate import hit_rate
from ostinato.memory.store_table import BLOCK
from ostinato.memory.trace import make_trace
from tests.memory.worlds import NO_TRACE, ScriptedSource, ints


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [("8GiB", 8 << 30), ("8G", 8 << 30), ("8gb", 8 * 10**9), ("1.5 MiB", 3 << 19), ("4096", 4096), ("50%", 500),
     ("12.5%", 125), ("200%", 2000), (" 1k ", 1024), ("2T", 2 << 40)],
)  # fmt: skip
def test_amounts(text: str, nbytes: int) -> None:
    assert parse_budget(text, 1000) == nbytes


def test_amounts_are_said_rounded_up() -> None:
    said = [amount(nbytes) for nbytes in (8, 2**20 - 1, 2**20, 2**20 + 1, 2**30, 5 * 2**29 + 1)]
    assert said == ["8 B", "1048575 B", "1.00 MiB", "1.01 MiB", "1.00 GiB", "2.51 GiB"]


NONE = ("", "8 GiB 2", "-1G", "1e9", "0", "0%", "GiB", "8X", "\u0663G", "nan", "inf%", "1" * 16, "0.0001%")


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(BudgetError):
        parse_budget(text, 1000)


def model(sizes: list[tuple[int, int]], experts: int, resident: int = 0) -> Parcels:
    """Layers of experts: (bytes of an expert, layers) one after the other in one file."""
    parcels, at, layer = [], 33, 0
    for size, layers in sizes:
        for _ in range(layers):
            for _ in range(experts):
                parcels.append(Parcel(layer, (Extent(0, at, size),)))
                at += size
            layer += 1
    return Parcels(tuple(parcels), resident)


def check(parcels: Parcels, made: MemoryPlan, budget: int) -> None:
    assert made.nbytes <= budget
    for parcel, cache in zip(parcels.parcels, made.cache, strict=True):
        assert padded(parcel) <= made.pools[made.caches[cache].pool].slot_bytes
    for number, pool in enumerate(made.pools):
        quotas = [cache.quota for cache in made.caches if cache.pool == number]
        assert sum(quotas) == pool.slots <= pool.parcels
    assert sum(pool.parcels for pool in made.pools) == len(parcels.parcels)


@settings(deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 1 << 20), st.integers(1, 3)), min_size=1, max_size=4),
    experts=st.integers(1, 9), percent=st.integers(1, 120), per_layer=st.booleans(), other=st.integers(0, 1 << 20),
)  # fmt: skip
def test_every_plan_fits(sizes: list[tuple[int, int]], experts: int, percent: int, per_layer: bool, other: int) -> None:
    parcels = model(sizes, experts, resident=50_000)
    budget = (parcels.nbytes + 50_000) * percent // 100
    try:
        made = plan(parcels, budget, other_bytes=other, per_layer=per_layer)
    except BudgetError as error:
        match = re.search(r"runs in ([\d.]+ (?:[MG]i)?B)", str(error))
        assert match
        enough = parse_budget(match[1], 0)
        check(parcels, plan(parcels, enough, other_bytes=other, per_layer=per_layer), enough - other)
        return
    check(parcels, made, budget - other)
    for number, cache in enumerate(made.caches):
        assert cache.quota >= min(LEAST_SLOTS, made.cache.count(number))


def test_all_sizes_get_the_same_fraction() -> None:
    parcels = model([(1 << 20, 8), (3 << 19, 8)], 64)
    made = plan(parcels, parcels.nbytes // 4)
    assert [pool.slot_bytes for pool in made.pools] == [(3 << 19) + BLOCK, (1 << 20) + BLOCK]
    assert all(abs(pool.slots / pool.parcels - 0.25) < 0.01 for pool in made.pools)
    assert made.nbytes > parcels.nbytes // 4 - (3 << 20), "nearly all of the budget is used"


def test_nearly_equal_sizes_share_a_pool() -> None:
    parcels = model([(1 << 20, 4), ((1 << 20) - 40_000, 4)], 8)
    assert len(plan(parcels, parcels.nbytes).pools) == 1


def test_enough_memory_is_a_slot_for_everybody() -> None:
    parcels = model([(1 << 20, 4)], 8, resident=1 << 20)
    made = plan(parcels, 2 * parcels.nbytes)
    assert made.complete
    assert not plan(parcels, parcels.nbytes).complete


def test_layers_share_evenly() -> None:
    parcels = model([(1 << 20, 5)], 16)
    made = plan(parcels, parcels.nbytes // 2, per_layer=True)
    quotas = [cache.quota for cache in made.caches]
    assert len(quotas) == 5
    assert max(quotas) - min(quotas) <= 1


def test_odd_offsets_take_whole_blocks() -> None:
    assert padded(Parcel(0, (Extent(0, 4095, 2),))) == 2 * BLOCK
    assert padded(Parcel(0, (Extent(0, 4096, 4096), Extent(0, 10, 1)))) == 2 * BLOCK


@settings(deadline=None, max_examples=25)
@given(sizes=st.lists(st.integers(1, 3 * BLOCK), min_size=2, max_size=9))
def test_slots_suffice_where_a_disk_asks_for_larger_blocks(sizes: list[int]) -> None:
    """One file of two: extents of both share slots."""
    ends = list(accumulate(sizes))
    extents = [Extent(i % 2, end - size, size) for i, (end, size) in enumerate(zip(ends, sizes, strict=True))]
    parcels = Parcels(tuple(Parcel(0, pair) for pair in pairwise(extents)), 0)
    data = np.arange(ends[-1]).astype(np.uint8)
    files = [(ScriptedSource(data, 4 * BLOCK), None), (ScriptedSource(data), ScriptedSource(data, 2 * BLOCK))]
    made = plan(parcels, sum(padded(p, 4 * BLOCK) for p in parcels.parcels) * 2, block=_memory.block(files))
    pools, caches = [(p.slot_bytes, p.slots) for p in made.pools], [(c.pool, c.quota) for c in made.caches]
    store = _memory.Store(
        parcels.native(made.cache), files, pools, caches, made.slot_bytes, "lru", 1.0, NO_TRACE, False, 2, 4 * BLOCK,
        BLOCK,
    )  # fmt: skip
    request = _memory.Request(store)
    for number, parcel in enumerate(parcels.parcels):
        request.want(ints([number]))
        assert request.wait(number) == "", "the source asserts that reads are aligned"
        for index, extent in enumerate(parcel.extents):
            held = request.data(number, index)
            assert held.tobytes() == data[extent.offset : extent.offset + extent.nbytes].tobytes()
        request.release(number)
    store.close()


def test_streamed_layers_are_kept_evenly() -> None:
    parcels = model([(1 << 20, 20)], 1)
    made = plan(parcels, parcels.nbytes // 2)
    slots = made.pools[0].slots
    kept = kept_layers(made)
    assert len(kept) == len(set(kept)) == slots - 4
    streamed = [p for p in range(20) if p not in kept]
    assert max(b - a for a, b in pairwise(streamed)) <= 2
    cycles = make_trace([[p] for _ in range(10) for p in range(20)])
    assert hit_rate(cycles, made.cache, [slots], "lru", 1.0) == 0.0
    assert hit_rate(cycles, made.cache, [slots], "lru", 1.0, kept=kept) == len(kept) / 20
    assert kept_layers(plan(parcels, 2 * parcels.nbytes)) == list(range(20))
