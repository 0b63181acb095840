"""Slots that come and go: between the pools, between a pool's caches, and back to the system."""

from __future__ import annotations

import gc
import os
import re
import resource
from pathlib import Path

import pytest

from ostinato import _memory
from tests.memory.worlds import ScriptedSource, counted, held_bytes, ints, world

ABSENT, RESIDENT = 0, 3


def touch(store: _memory.Store, *parcels: int) -> None:
    request = _memory.Request(store)
    for parcel in parcels:
        request.want(ints([parcel]))
        assert request.wait(parcel) == ""
        request.release(parcel)


def resident(store: _memory.Store) -> list[int]:
    return [p for p, state in enumerate(store.states()) if state == RESIDENT]


def test_growing_and_shrinking_keep_what_is_worth_most() -> None:
    w = world(20)
    store = w.store(ScriptedSource(w.data), 8, budget=10 * w.slot_bytes)
    touch(store, *range(8))
    assert store.resize(0, 3, [3])
    assert store.bytes == 3 * w.slot_bytes
    assert resident(store) == [5, 6, 7]
    request = _memory.Request(store)
    request.want(ints([5, 6, 7]))  # those that lay in slots that went have moved
    assert [error for _, error in request.take()] == [""] * 3
    assert all(held_bytes(w, request, p) == w.content(p) for p in (5, 6, 7))
    store.check_integrity()
    assert store.resize(0, 10, [10])
    touch(store, *range(7))
    assert resident(store) == list(range(8)), "5, 6 and 7 stayed where they were"
    store.check_integrity()


def test_slots_in_use_are_not_taken_away() -> None:
    w = world(20)
    store = w.store(ScriptedSource(w.data), 4)
    request = _memory.Request(store)
    request.want(ints([0, 1, 2]))
    for parcel in range(3):
        request.wait(parcel)
    assert not store.resize(0, 2, [2])
    assert store.bytes == 4 * w.slot_bytes
    store.check_integrity()
    request.release(1)
    assert not store.resize(0, 2, [2]), "2 is in use, and its slot would go"
    request.release(2)
    assert store.resize(0, 2, [2])
    assert held_bytes(w, request, 0) == w.content(0)
    store.check_integrity()


def test_the_budget_always_holds() -> None:
    w = world(20)
    store = w.store(ScriptedSource(w.data), 4, budget=6 * w.slot_bytes)
    with pytest.raises(ValueError, match="budget"):
        store.resize(0, 7, [7])
    assert store.resize(0, 6, [6])
    assert not store.set_budget(6 * w.slot_bytes - 1)
    assert store.resize(0, 2, [2])
    assert store.set_budget(2 * w.slot_bytes)
    with pytest.raises(ValueError, match="budget"):
        store.resize(0, 3, [3])
    for slots, quotas in ((21, [21]), (0, [0]), (2, [3]), (2, [1, 1]), (2, [0])):
        with pytest.raises(ValueError):
            store.resize(0, slots, quotas)
    with pytest.raises(ValueError):
        store.resize(1, 1, [1])
    store.check_integrity()


def test_slots_move_between_the_layers_of_a_pool() -> None:
    w = world(20, layers=2)
    w.cache = w.layer
    store = w.store(ScriptedSource(w.data), 6, caches=[(0, 3), (0, 3)])
    touch(store, 0, 1, 2, 3, 10, 11, 12, 13)
    assert resident(store) == [1, 2, 3, 11, 12, 13], "no layer takes another's slots"
    assert store.resize(0, 6, [1, 5])
    touch(store, 14, 15)
    assert resident(store) == [3, 11, 12, 13, 14, 15]
    store.check_integrity()


def test_slots_move_between_pools_of_different_sizes() -> None:
    w = world(20, layers=2)
    w.cache = w.layer
    big = 2 * w.slot_bytes
    budget = 4 * big + 4 * w.slot_bytes
    pools, caches = [(w.slot_bytes, 4), (big, 4)], [(0, 4), (1, 4)]
    store = w.store(ScriptedSource(w.data), 0, pools=pools, caches=caches, budget=budget)
    touch(store, 0, 1, 2, 3, 10, 11, 12, 13)
    with pytest.raises(ValueError, match="budget"):
        store.resize(1, 6, [6])
    assert store.resize(0, 2, [2])
    assert store.resize(1, 5, [5])
    touch(store, 14)
    assert resident(store) == [2, 3, 10, 11, 12, 13, 14]
    assert store.bytes == 2 * w.slot_bytes + 5 * big == store.budget
    store.check_integrity()


def test_a_pool_that_grows_serves_those_in_line() -> None:
    w = world(6)
    store = w.store(ScriptedSource(w.data), 1, budget=4 * w.slot_bytes)
    request = _memory.Request(store)
    request.want(ints([0, 1, 2]))
    assert request.wait(0) == ""
    assert request.poll() == []
    assert store.resize(0, 3, [3])
    assert request.wait(1) == request.wait(2) == ""


def test_kept_parcels_never_go() -> None:
    w = world(20)
    store = w.store(ScriptedSource(w.data), 4)
    store.keep(ints([7, 8, 9]))
    touch(store, 7, 8, 9, *range(5))
    assert resident(store) == [4, 7, 8, 9]
    with pytest.raises(ValueError, match="keep"):
        store.keep(ints([1, 2, 3, 4]))
    with pytest.raises(ValueError, match="few"):
        store.resize(0, 3, [3])
    store.keep(ints([9]))
    touch(store, 0, 1, 2)
    assert resident(store) == [0, 1, 2, 9]
    store.check_integrity()


def test_all_of_a_cache_may_be_kept() -> None:
    w = world(3)
    store = w.store(ScriptedSource(w.data), 3)
    store.keep(ints([0, 1, 2]))
    touch(store, 0, 1, 2, 0, 1, 2)
    assert (counted(store, "hits"), counted(store, "misses")) == (3, 3)


def kilobytes(field: str) -> int:
    """Of this process, as the system counts them: VmRSS, those in memory; VmLck, those locked into it."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("there is no /proc")
    match = re.search(rf"{field}:\s+(\d+) kB", status.read_text())
    assert match is not None
    return int(match[1])


def test_memory_goes_back_to_the_system() -> None:
    w = world(64)
    gc.collect()  # stores of other tests
    slot, before = 1 << 20, kilobytes("VmRSS")
    store = w.store(ScriptedSource(w.data), 64, pools=[(slot, 64)], budget=64 * slot)
    assert 60 << 10 < kilobytes("VmRSS") - before < 70 << 10, "all memory is there from the start"
    assert store.resize(0, 8, [8])
    assert kilobytes("VmRSS") - before < 12 << 10
    store.close()


def test_slots_locked_into_memory() -> None:
    w = world(4)
    gc.collect()
    allowed, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if 0 <= allowed < 3 * w.slot_bytes and os.geteuid() != 0:
        pytest.skip(f"only {allowed} bytes may be locked here (ulimit -l)")
    before, slot = kilobytes("VmLck"), w.slot_bytes >> 10
    store = w.store(ScriptedSource(w.data), 2, budget=3 * w.slot_bytes, locked=True)
    assert kilobytes("VmLck") - before == 2 * slot
    touch(store, 0, 1, 2)
    for slots in (3, 1):
        assert store.resize(0, slots, [slots])
        assert kilobytes("VmLck") - before == slots * slot
    store.close()
    del store
    gc.collect()
    assert kilobytes("VmLck") == before
