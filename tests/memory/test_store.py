"""The store end to end over real files: data as in the file in every mode, budgets, pins, stragglers."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ostinato import _memory
from tests.memory.worlds import BLOCK, counted, held_bytes, ints, world, written

ABSENT, QUEUED, READING, RESIDENT = range(4)


@pytest.mark.parametrize("mode", ["direct", "cached", "mapped"])
@pytest.mark.parametrize("chunk", [BLOCK, 16 * BLOCK])
def test_bytes_are_the_file_s(tmp_path: Path, mode: str, chunk: int) -> None:
    w = world(40, seed=1, largest=9 * BLOCK)
    assert len(w.data) % BLOCK, "the file ends within a block"
    store = w.store(_memory.FileSource(written(w, tmp_path / "f"), mode), slots=5, chunk=chunk, threads=4)
    request = _memory.Request(store)
    request.want(ints(range(40)))
    seen = set()
    while arrived := request.take():
        assert len(arrived) <= 5
        for parcel, error in arrived:
            assert error == ""
            assert held_bytes(w, request, parcel) == w.content(parcel)
            seen.add(parcel)
            request.release(parcel)
        store.check_integrity()
    assert seen == set(range(40))
    assert counted(store, "misses") == 40
    assert counted(store, "evictions") >= 35
    store.close()


def test_what_was_wanted_lately_is_a_hit(tmp_path: Path) -> None:
    w = world(6)
    store = w.store(_memory.FileSource(written(w, tmp_path / "f"), "cached"), slots=3)
    request = _memory.Request(store)
    for parcel in (0, 1, 2, 0, 3):  # 3 takes the slot of 1
        request.want(ints([parcel]))
        assert request.wait(parcel) == ""
        request.release(parcel)
    assert list(store.states()) == [RESIDENT, ABSENT, RESIDENT, RESIDENT, ABSENT, ABSENT]
    assert (counted(store, "hits"), counted(store, "misses"), counted(store, "evictions")) == (1, 4, 1)


def test_pins_hold_a_slot_against_everybody(tmp_path: Path) -> None:
    w = world(4)
    store = w.store(_memory.FileSource(written(w, tmp_path / "f"), "cached"), slots=2)
    holder, other = _memory.Request(store), _memory.Request(store)
    holder.want(ints([0, 1]))
    assert [holder.wait(p) for p in (0, 1)] == ["", ""]
    other.want(ints([2, 3]))
    store.hint(ints([2]))
    assert other.poll() == []
    assert list(store.states()) == [RESIDENT, RESIDENT, QUEUED, QUEUED]
    assert held_bytes(w, holder, 0) == w.content(0)
    holder.release(0)
    assert other.take() == [(2, "")]
    assert held_bytes(w, holder, 1) == w.content(1)
    store.check_integrity()
    other.clear()
    assert list(store.states()) == [ABSENT, RESIDENT, RESIDENT, ABSENT]
    store.check_integrity()


def test_two_who_want_the_same_read_it_once(tmp_path: Path) -> None:
    w = world(2)
    store = w.store(_memory.FileSource(written(w, tmp_path / "f"), "cached"), slots=2)
    first, second = _memory.Request(store), _memory.Request(store)
    first.want(ints([0]))
    second.want(ints([0]))
    assert first.wait(0) == second.wait(0) == ""
    first.release(0)
    assert held_bytes(w, second, 0) == w.content(0)
    blocks = sum((o + s + BLOCK - 1) // BLOCK - o // BLOCK for o, s in w.extents[0])
    assert counted(store, "demand_bytes") == blocks * BLOCK


def test_misuse_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    w = world(3)
    store = w.store(_memory.FileSource(written(w, tmp_path / "f"), "cached"), slots=2)
    request = _memory.Request(store)
    for parcels in ([3], [-1], [0, 0]):
        with pytest.raises(ValueError):
            request.want(ints(parcels))
    with pytest.raises(ValueError, match="not held"):
        request.release(0)
    with pytest.raises(ValueError, match="not wanted"):
        request.wait(0)
    with pytest.raises(ValueError, match="held"):
        request.data(0, 0)
    assert request.take() == []
    request.want(ints([0]))
    with pytest.raises(ValueError, match="twice"):
        request.want(ints([0]))
    request.wait(0)
    with pytest.raises(IndexError):
        request.data(0, len(w.extents[0]))
    assert counted(store, "misses") == 1
    store.check_integrity()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"budget": 2 * BLOCK}, "budget"),
        ({"pools": [(BLOCK, 2)], "budget": 1 << 30}, "its slot has"),
        ({"pools": [(BLOCK + 1, 2)], "budget": 1 << 30}, "whole pages"),
        ({"caches": [(0, 3)]}, "quotas"),
        ({"caches": [(1, 2)]}, "pool"),
        ({"caches": [(0, 0)]}, "slot"),
        ({"policy": "fifo"}, "policy"),
        ({"policy": "lfru", "half_life": 0.0}, "half-life"),
        ({"chunk": 1000}, "whole blocks"),
        ({"threads": 0}, "threads"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused(tmp_path: Path, options: dict[str, Any], reason: str) -> None:
    w = world(3, largest=5 * BLOCK)
    source = _memory.FileSource(written(w, tmp_path / "f"), "cached")
    with pytest.raises(ValueError, match=reason):
        w.store(source, slots=2, **options)


@pytest.mark.parametrize(("quota", "reason"), [(17, "quotas"), (0, "slot"), (16, "budget")])
def test_a_plan_is_refused_before_memory_is_asked_for(tmp_path: Path, quota: int, reason: str) -> None:
    """More slots than any address space has: the system would refuse them with another error."""
    w = world(3)
    source = _memory.FileSource(written(w, tmp_path / "f"), "cached")
    pools, budget = [(1 << 44, 16)], (16 << 44) - (reason == "budget")
    with pytest.raises(ValueError, match=reason):
        w.store(source, slots=16, pools=pools, caches=[(0, quota)], budget=budget)


def test_an_extent_outside_the_file_is_refused(tmp_path: Path) -> None:
    w = world(3)
    source = _memory.FileSource(written(w, tmp_path / "f"), "cached")
    for extent in ((len(w.data), 1), (-1, 5), (0, len(w.data) + 1), (2**62, 2**62), (0, 0)):
        bad = world(3)
        bad.extents[2] = [extent]
        with pytest.raises(ValueError, match="parcel 2"):
            _memory.Store(
                bad.native(), [(source, None)], [(1 << 20, 2)], [(0, 2)], 1 << 30, "lru", 1.0,
                (np.zeros(1, np.int64), ints([])), False, 1, BLOCK, BLOCK,
            )  # fmt: skip


def test_many_threads_of_many_requests(tmp_path: Path) -> None:
    w = world(60, layers=6, seed=3)
    store = w.store(_memory.FileSource(written(w, tmp_path / "f"), "direct"), slots=9, threads=4, policy="lfru")
    wrong: list[object] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        request = _memory.Request(store)
        for _ in range(60):
            store.hint(rng.choice(60, 3, replace=False).astype(np.int32))
            request.want(rng.choice(60, 12, replace=False).astype(np.int32))
            while arrived := request.take():
                for parcel, error in arrived:
                    if error or held_bytes(w, request, parcel) != w.content(parcel):
                        wrong.append((parcel, error))
                    request.release(parcel)
            store.check_integrity()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    assert counted(store, "hits") + counted(store, "misses") == 4 * 60 * 12


def test_occupancy_shows_the_waste(tmp_path: Path) -> None:
    w = world(3)
    store = w.store(_memory.FileSource(written(w, tmp_path / "f"), "cached"), slots=3)
    request = _memory.Request(store)
    request.want(ints([0, 2]))
    request.wait(0)
    request.wait(2)
    assert store.occupancy() == [(w.slot_bytes, 3, 2, len(w.content(0)) + len(w.content(2)))]
    assert store.bytes == store.budget == 3 * w.slot_bytes
