"""Keeps the experts that are wanted most in slots: reads what kernels counted, asks who decides, moves. Never waits."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ostinato.backends.cuda.driver import Event
from ostinato.backends.cuda.memory import Memory
from ostinato.backends.cuda.slots import Slots
from ostinato.memory.hot import Move


class Policy(Protocol):
    """Who decides which parcels have slots (memory/hot.py)."""

    def update(self, uses: NDArray[np.uint32], steps: int) -> list[Move]:
        """Moves to make, at most MOST_MOVES, all of which will be made: `uses` of every parcel as counted since the
        start, wrapping; `steps` that were collected since the last call."""


class Keeper:
    """`counters` is the address of `count` uses, one for each row of the expert table."""

    def __init__(self, memory: Memory, slots: Slots, policy: Policy, counters: int, count: int) -> None:
        self.slots, self.policy = slots, policy
        self._driver, self._counters = memory.driver, counters
        self._seen = memory.pin("uses", 4 * count).view(np.uint32)
        self._read: Event | None = None  # when the counters are in `_seen`
        self._steps = 0  # collected since the last look

    def tend(self, steps: int = 0) -> None:
        """Between launches, `steps` more of which were collected: ends moves that are done, begins others. Raises
        DeviceError."""
        self._steps += steps
        self.slots.settle()
        if not self.slots.idle:
            return
        if self._read is not None and self._read.done():
            self._read = None
            self._decide()
        if self._read is None:
            self._driver.copy(self._seen.ctypes.data, self._counters, self._seen.nbytes)
            self._read = self._driver.event()

    def _decide(self) -> None:
        steps, self._steps = self._steps, 0
        if moves := self.policy.update(self._seen[self.slots.rows], steps):
            self.slots.begin(moves)
