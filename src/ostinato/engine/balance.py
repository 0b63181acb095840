"""Balance: between the engine's steps, the slots of a weight store where they are worth most (memory/elastic.py), and
memory that keys and values do not need lent to the slots.

At a look, blocks at the upper end that are free are lent, but for a RESERVE that newcomers find at once; their memory
goes back to the system, and slots take its place. As soon as a sequence wants more blocks than there are, slots shrink
and blocks come back, a RESERVE at least. So the two together never take more than was planned.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence

from ostinato.backends.contract import Executable, Plan, StateAction
from ostinato.engine.paging import Paging
from ostinato.memory.elastic import Elastic
from ostinato.memory.residency import WeightStore
from ostinato.program.ir import CacheGroup

RESERVE = 8  # one 8th of all blocks is not lent, so that a step seldom waits for its blocks
LARGEST_LOAN = 64 << 20  # bytes at a look: new slots are filled with zeros, some 20 ms of them


class Balance:
    """Of one engine whose weights stream."""

    def __init__(
        self, store: WeightStore, executable: Executable, paging: Paging, plan: Plan, caches: Sequence[CacheGroup]
    ) -> None:
        self.elastic = Elastic(store.native, store.plan, store.kept_of)
        self._executable, self._paging, self._caches = executable, paging, caches
        self._slot_bytes = min(pool.slot_bytes for pool in store.plan.pools if not pool.copies)
        self._block_bytes = sum(plan.cache_bytes(group) for group in caches) // plan.blocks
        self._reserve = -(-plan.blocks // RESERVE)
        # Where the lent blocks begin and end, each head's keys and values may share a page with others.
        self._edges = sum(4 * group.layers * group.kv_heads for group in caches) * mmap.PAGESIZE
        paging.recall = self._recall

    def step(self) -> None:
        """Before the engine plans its next step."""
        if self.elastic.step():
            self._lend()

    def _lend(self) -> None:
        paging = self._paging
        count = min(paging.lendable, paging.available - self._reserve, LARGEST_LOAN // max(1, self._block_bytes))
        nbytes = self._worth(paging.lent + count) - self._worth(paging.lent)
        if nbytes < self._slot_bytes or self.elastic.plan.complete:
            return
        lent = paging.lend(count)
        for cache in range(len(self._caches)):
            self._executable.state(StateAction.DROP, cache, lent)
        self.elastic.grow(nbytes)

    def _recall(self, count: int) -> None:
        """At least so many blocks come back, or all there are; none while their slots are in use for too long."""
        paging = self._paging
        count = min(paging.lent, max(count, self._reserve))
        if self.elastic.shrink(self._worth(paging.lent) - self._worth(paging.lent - count)):
            paging.take_back(count)

    def _worth(self, blocks: int) -> int:
        """Bytes of slots that so many lent blocks stand for."""
        return max(0, blocks * self._block_bytes - self._edges)
