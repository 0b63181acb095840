"""Demand before prefetch, cancelled and raised prefetches, the cap on bytes in flight: with a source that waits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ostinato import _memory
from tests.memory.worlds import BLOCK, ScriptedSource, World, counted, ints, world

ABSENT, QUEUED, READING, RESIDENT = range(4)


class Slow:
    """A store with one thread, of parcels of a block each, whose source answers when it is told to."""

    def __init__(self, parcels: int, slots: int, layers: int = 1, **options: Any) -> None:
        w = world(parcels, layers)
        extents = [[(p * BLOCK + 5, BLOCK - 5)] for p in range(parcels)]
        self.world = World(w.data[:0], extents, w.cache, w.layer)
        self.source = ScriptedSource(world(parcels, largest=20 * BLOCK).data[: parcels * BLOCK])
        self.store = self.world.store(self.source, slots, **({"threads": 1} | options))
        self.request = _memory.Request(self.store)

    def hold(self) -> None:
        self.source.gate.clear()

    def begun(self) -> None:
        """Waits until one more read has begun."""
        assert self.source.began.acquire(timeout=20)

    def order(self) -> list[int]:
        """Parcels in the order in which they were read."""
        return [offset // BLOCK for offset in self.source.log]

    def settle(self) -> None:
        """Lets all reads go on and waits until none is left."""
        self.source.gate.set()
        while READING in self.store.states():
            pass
        self.store.check_integrity()


@pytest.fixture
def made() -> Iterator[list[Slow]]:
    stores: list[Slow] = []
    yield stores
    for slow in stores:
        slow.source.gate.set()
        slow.store.close()


def slow(made: list[Slow], *args: int, **options: Any) -> Slow:
    made.append(Slow(*args, **options))
    return made[-1]


def test_demand_goes_before_prefetch(made: list[Slow]) -> None:
    s = slow(made, 8, 8, 2)
    s.hold()
    s.store.hint(ints([4, 5]))
    s.begun()  # 4 is being read; 5 waits
    s.request.want(ints([0, 1]))
    s.settle()
    assert s.order() == [4, 0, 1, 5]
    assert counted(s.store, "late") == 0


def test_a_wanted_prefetch_becomes_a_demand(made: list[Slow]) -> None:
    s = slow(made, 8, 8, 2)
    s.hold()
    s.request.want(ints([0]))
    s.begun()
    s.store.hint(ints([4, 5, 6]))
    other = _memory.Request(s.store)
    other.want(ints([6, 4, 5]))
    s.settle()
    assert s.order() == [0, 6, 4, 5]
    assert counted(s.store, "late") == 3
    assert counted(s.store, "prefetch_bytes") == 0
    assert {parcel for parcel, _ in other.take()} == {4, 5, 6}


def test_what_has_not_begun_when_its_layer_comes_is_not_read(made: list[Slow]) -> None:
    s = slow(made, 8, 8, 2)
    s.hold()
    s.request.want(ints([0]))
    s.begun()
    s.store.hint(ints([4, 5, 6]))
    s.store.check_integrity()
    other = _memory.Request(s.store)
    other.want(ints([5]))  # of the same layer: 4 and 6 were wrong guesses
    assert list(s.store.states()[4:7]) == [ABSENT, READING, ABSENT]
    s.settle()
    assert s.order() == [0, 5]
    assert [counted(s.store, name) for name in ("hinted", "foreseen", "wasted", "late")] == [3, 1, 2, 1]


def test_a_request_that_goes_takes_its_reads_along(made: list[Slow]) -> None:
    s = slow(made, 8, 8)
    s.hold()
    s.request.want(ints([0, 1, 2]))
    s.begun()
    s.request.clear()
    s.store.check_integrity()
    assert list(s.store.states()[:3]) == [READING, ABSENT, ABSENT]
    s.settle()
    assert s.order() == [0]
    assert s.store.states()[0] == RESIDENT, "what was nearly there stays, for the next who wants it"


@pytest.mark.parametrize(("cap", "at_once"), [(0, 1), (BLOCK, 1), (2 * BLOCK, 2), (8 * BLOCK, 4)])
def test_prefetch_leaves_threads_to_demand(made: list[Slow], cap: int, at_once: int) -> None:
    s = slow(made, 16, 16, 2, threads=4, prefetch_in_flight=cap)
    s.hold()
    s.store.hint(ints(range(8, 16)))
    for _ in range(at_once):
        s.begun()
    s.request.want(ints([0]))
    if at_once < 4:
        s.begun()
        assert s.order()[-1] == 0
    assert not s.source.began.acquire(timeout=0.02)
    s.settle()
    assert len(s.order()) == 9


def test_a_hint_never_takes_what_is_used_or_wanted(made: list[Slow]) -> None:
    s = slow(made, 8, 2, 2)
    s.request.want(ints([0, 1]))
    assert s.request.wait(0) == s.request.wait(1) == ""
    s.store.hint(ints([4, 5]))
    assert list(s.store.states()[4:6]) == [ABSENT, ABSENT]
    assert counted(s.store, "refused") == 2
    s.request.release(0)
    s.store.hint(ints([4]))
    s.settle()
    assert list(s.store.states()) == [ABSENT, RESIDENT, ABSENT, ABSENT, RESIDENT, ABSENT, ABSENT, ABSENT]
    s.store.hint(ints([5]))
    assert s.store.states()[4] == RESIDENT, "a hint does not drive out another"


def test_a_demand_takes_the_slot_of_a_hint_when_there_is_no_other(made: list[Slow]) -> None:
    s = slow(made, 8, 2, 2)
    s.hold()
    s.store.hint(ints([4, 5]))
    s.begun()
    s.request.want(ints([0]))  # 5 has not begun: its slot is taken back
    assert s.store.states()[5] == ABSENT
    s.source.gate.set()
    assert s.request.wait(0) == ""
    s.settle()
    other = _memory.Request(s.store)
    other.want(ints([1]))  # 4 is there and foreseen, 0 is in use
    assert other.wait(1) == ""
    assert list(s.store.states()[:6]) == [RESIDENT, RESIDENT, ABSENT, ABSENT, ABSENT, ABSENT]
    assert counted(s.store, "wasted") == 1
    s.store.check_integrity()


def test_useful_prefetches_are_hits(made: list[Slow]) -> None:
    s = slow(made, 8, 6, 2)
    s.store.hint(ints([4, 5, 6]))
    s.settle()
    s.request.want(ints([4, 5, 7]))
    s.settle()
    names = ("hits", "misses", "useful", "late", "wasted", "hinted", "foreseen")
    assert [counted(s.store, name) for name in names] == [2, 1, 2, 0, 1, 3, 2]


def test_close_ends_all_waits_at_once(made: list[Slow]) -> None:
    import threading

    s = slow(made, 8, 2)
    s.hold()
    s.request.want(ints([0, 1, 2]))
    s.begun()
    ended: list[str] = []
    waiter = threading.Thread(target=lambda: ended.append(s.request.wait(2)))
    waiter.start()
    closer = threading.Thread(target=s.store.close)
    closer.start()
    waiter.join(10)  # although the read of 0 still hangs
    assert ended == ["the store was closed"]
    s.source.gate.set()
    closer.join(10)
    assert [error for _, error in s.request.take()] == ["the store was closed"] * 2
    with pytest.raises(RuntimeError, match="closed"):
        s.request.want(ints([3]))
    with pytest.raises(RuntimeError, match="closed"):
        s.store.hint(ints([3]))
    s.store.check_integrity()
