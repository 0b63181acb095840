"""The slots of a card's memory that hold experts, and moving experts between them and their home.

What kernels read of an expert they find through the expert table (kernels/experts.h): an address in a slot, or else at
home, across the bus. So nothing must be moved ever, no kernel waits for a move, and none sees one half done:

1. in the stream of kernels, the leaver's entries come to name its home;
2. in the stream of transfers, behind that, the newcomer is copied from its home into the slot;
3. when that is seen to be over, in the stream of kernels, the newcomer's entries come to name the slot.

Entries never name what is being written. Were a copy to fail, all entries would name what they should.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ostinato.backends.cuda.driver import Event
from ostinato.backends.cuda.home import Home, Numbers
from ostinato.backends.cuda.machine import EXPERT_OPERANDS
from ostinato.backends.cuda.memory import Memory
from ostinato.backends.cuda.stacks import ADDRESS
from ostinato.memory.device import DevicePlan
from ostinato.memory.hot import MOST_MOVES, Move

_ENTRY_BYTES = EXPERT_OPERANDS * ADDRESS.itemsize
_NOBODY = -1


class Slots:
    """Equal slots for each size of parcels; `first` are the parcels that lie in them at first. `table` is the address
    of the expert table, whose rows for these parcels `entries` tells. Not for several threads at once."""

    def __init__(self, memory: Memory, home: Home, plan: DevicePlan, first: Sequence[int], table: int) -> None:
        self.plan, self._driver, self._home, self._table = plan, memory.driver, home, table
        self._pools: list[range] = []  # addresses of each class
        self._address: list[int] = []  # of each slot
        self._class: list[int] = []  # of each slot
        for number, own in enumerate(plan.classes):
            self._add_pool(number, memory.allocate(f"slots {own.slot_bytes}", own.slots * own.slot_bytes))
        self._staged = memory.pin("expert entries", 2 * MOST_MOVES * _ENTRY_BYTES).view(ADDRESS)
        self._holds = [_NOBODY] * len(self._address)  # parcel of each slot
        self._slot = [_NOBODY] * len(home.places)  # of each parcel
        self._moving: list[tuple[int, int]] = []  # slot, parcel on its way there
        self._copied: Event | None = None  # when those are there
        self._pointed: Event | None = None  # when the last entries are
        self.moves = 0  # that are done
        self._fill(first)

    @property
    def idle(self) -> bool:
        """Nothing is under way. Raises DeviceError."""
        return not self._moving and (self._pointed is None or self._pointed.done())

    @property
    def rows(self) -> Numbers:
        """Of each parcel, in the expert table and among the counters of uses."""
        return self._home.rows

    @property
    def residents(self) -> list[int]:
        """Parcels that kernels find in slots."""
        return sorted(parcel for parcel in self._holds if parcel != _NOBODY)

    def entries(self) -> np.ndarray:
        """uint64 [parcels, EXPERT_OPERANDS]: the table's rows as they were last written."""
        return np.array([self._entry(parcel) for parcel in range(len(self._slot))], ADDRESS)

    def begin(self, moves: Sequence[Move]) -> None:
        """Starts moves, at most MOST_MOVES; only when idle. Between launches. Raises ValueError for one that cannot be
        and starts nothing."""
        self._check(moves)
        for out, into in moves:
            slot, self._slot[out] = self._slot[out], _NOBODY
            self._holds[slot] = _NOBODY
            self._moving.append((slot, into))
        self._point([out for out, _ in moves], half=0)
        self._copied = self._driver.transfer([self._copy(slot, parcel) for slot, parcel in self._moving])

    def settle(self) -> None:
        """Shows kernels what has arrived. Never waits. Between launches. Raises DeviceError."""
        if self._copied is None or not self._copied.done():
            return
        arrived, self._moving, self._copied = self._moving, [], None
        for slot, parcel in arrived:
            self._holds[slot], self._slot[parcel] = parcel, slot
            self.moves += 1
        self._point([parcel for _, parcel in arrived], half=1)
        self._pointed = self._driver.event()

    def check_integrity(self) -> None:
        """Raises AssertionError unless slots and parcels name each other, each of its size, and nobody is in a slot
        that is being written."""
        here = {parcel: slot for slot, parcel in enumerate(self._holds) if parcel != _NOBODY}
        assert here == {parcel: slot for parcel, slot in enumerate(self._slot) if slot != _NOBODY}, "mixed up"
        for parcel, slot in here.items():
            assert self._class[slot] == self.plan.class_of[parcel], f"parcel {parcel} is in a slot of another size"
        for slot, parcel in self._moving:
            assert self._holds[slot] == self._slot[parcel] == _NOBODY, f"slot {slot} is read while it is written"
        empty = sum(parcel == _NOBODY for parcel in self._holds)
        assert empty == len(self._moving), f"{empty} empty slots, {len(self._moving)} moves"

    # ---------------------------------------------------------------------------------------------------- parts

    def _add_pool(self, number: int, base: int) -> None:
        own = self.plan.classes[number]
        self._pools.append(range(base, base + own.slots * own.slot_bytes))
        self._address += self._pools[-1][:: own.slot_bytes]
        self._class += [number] * own.slots

    def _fill(self, first: Sequence[int]) -> None:
        """Before any kernel, in its stream."""
        free: list[list[int]] = [[] for _ in self._pools]
        for slot in reversed(range(len(self._class))):
            free[self._class[slot]].append(slot)
        for parcel in first:
            slot = free[self.plan.class_of[parcel]].pop()
            self._holds[slot], self._slot[parcel] = parcel, slot
            self._driver.copy(*self._copy(slot, parcel))

    def _check(self, moves: Sequence[Move]) -> None:
        if not self.idle:
            raise ValueError("moves are under way")
        if len(moves) > MOST_MOVES or len({parcel for move in moves for parcel in move}) < 2 * len(moves):
            raise ValueError(f"{len(moves)} moves: at most {MOST_MOVES}, of different parcels")
        for out, into in moves:
            if self._slot[out] == _NOBODY or self._slot[into] != _NOBODY:
                raise ValueError(f"parcel {out} has no slot to give, or parcel {into} has one")
            if self.plan.class_of[out] != self.plan.class_of[into]:
                raise ValueError(f"parcels {out} and {into} are of different sizes")

    def _copy(self, slot: int, parcel: int) -> tuple[int, int, int]:
        return self._address[slot], int(self._home.places[parcel]), int(self._home.sizes[parcel])

    def _entry(self, parcel: int) -> np.ndarray:
        """uint64 [EXPERT_OPERANDS]: where kernels are to find a parcel, in what this executable allocated."""
        slot = self._slot[parcel]
        place = int(self._home.places[parcel]) if slot == _NOBODY else self._address[slot]
        within = self._home.addresses if slot == _NOBODY else self._pools[self._class[slot]]
        if place not in within or place + int(self._home.sizes[parcel]) - 1 not in within:
            raise RuntimeError(f"parcel {parcel} would be read outside of this model's memory")
        return (place + self._home.operands[parcel]).astype(ADDRESS)

    def _point(self, parcels: Sequence[int], half: int) -> None:
        """Writes entries in the stream of kernels, through pinned memory that is not written again before they are
        there: a half of it for leavers, one for newcomers, and no move begins before the last one's are."""
        staged = self._staged.reshape(2, MOST_MOVES, EXPERT_OPERANDS)[half]
        for parcel, words in zip(parcels, staged, strict=False):
            words[:] = self._entry(parcel)
            row = self._table + _ENTRY_BYTES * int(self._home.rows[parcel])
            self._driver.copy(row, words.ctypes.data, _ENTRY_BYTES)
