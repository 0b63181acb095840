"""How many slots each cache should have, by how much its parcels are wanted.

A slot of a cache is worth the uses of the parcel that it would hold. Were every choice of experts independent of the
one before, the best that q slots of a cache could hold would be its q most wanted parcels, and each slot more would be
worth no more than the one before; so the slots go one by one to whichever cache's next parcel has the most uses for the
bytes that it takes, and no other division hits more (Stone, Turek and Wolf, "Optimal partitioning of cache memory",
IEEE Transactions on Computers 41, 1992: at the optimum all caches have the same marginal value). Choices are not quite
independent; but what a policy gains from their order it gains in every cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ostinato.memory.budget import LEAST_SLOTS, CachePlan, MemoryPlan

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Division:
    """Divides the slots of plans that differ in nothing else. Heat is the uses of every parcel."""

    def __init__(self, made: MemoryPlan) -> None:
        self._made = made
        cache = np.array(made.cache)
        self._parcels = np.argsort(cache, kind="stable")  # cache by cache
        self._counts = np.bincount(cache, minlength=len(made.caches))
        self._ends = np.cumsum(self._counts)
        self._slot_bytes = np.array([made.pools[own.pool].slot_bytes for own in made.caches])
        copies = np.array([made.pools[own.pool].copies for own in made.caches])  # have the slots that they have
        planned = np.array([own.quota for own in made.caches])
        self._least = np.where(copies, planned, np.minimum(LEAST_SLOTS, self._counts))
        self._cache = np.repeat(np.arange(len(made.caches)), self._counts)  # of every parcel, cache by cache
        self._rank = np.arange(len(cache)) - (self._ends - self._counts)[self._cache]
        # Slots beyond the least, the emptiest cache's first: so what nobody wants is divided evenly.
        emptiest = np.argsort(self._rank / self._counts[self._cache], kind="stable")
        more = (self._rank >= self._least[self._cache]) & ~copies[self._cache]
        self._slots = emptiest[more[emptiest]]

    def plan(self, heat: NDArray[np.float64], budget: int) -> MemoryPlan:
        """The plan with its slots divided by heat, in `budget` bytes of slots. A cache has at least what it needs to
        work, and no more slots than parcels."""
        quotas = self._least.copy()
        left = budget - int(quotas @ self._slot_bytes)
        wanted = self._wanted(heat, left // int(self._slot_bytes.min()))
        while len(wanted):
            fit = int(np.searchsorted(np.cumsum(self._slot_bytes[wanted]), left, side="right"))
            given = np.bincount(wanted[:fit], minlength=len(quotas))
            quotas += given
            left -= int(given @ self._slot_bytes)
            wanted = wanted[fit:][self._slot_bytes[wanted[fit:]] <= left]  # slots of other pools may be smaller
        return with_quotas(self._made, quotas.tolist())

    def expected_hits(self, heat: NDArray[np.float64], made: MemoryPlan) -> float:
        """Uses of the parcels that would be there, were each cache to hold its most wanted ones."""
        quotas = np.array([own.quota for own in made.caches])
        return float(self._ranked(heat)[self._rank < quotas[self._cache]].sum())

    def _wanted(self, heat: NDArray[np.float64], most: int) -> NDArray[np.int64]:
        """Caches that should have one slot more, in turn; at least `most` of them where there are so many."""
        caches = self._cache[self._slots]
        cost = -self._ranked(heat)[self._slots] / self._slot_bytes[caches]
        if 0 < most < len(cost):  # sorting all of 48128 takes longer than the rest
            best = np.flatnonzero(cost <= np.partition(cost, most - 1)[most - 1])
            cost, caches = cost[best], caches[best]
        return caches[np.argsort(cost, kind="stable")]

    def _ranked(self, heat: NDArray[np.float64]) -> NDArray[np.float64]:
        """Cache by cache, the most wanted first."""
        cold = -heat[self._parcels]
        for end, count in zip(self._ends, self._counts, strict=True):
            cold[end - count : end].sort()
        return -cold


def with_quotas(made: MemoryPlan, quotas: Sequence[int]) -> MemoryPlan:
    """The plan with other quotas; every pool has as many slots as its caches."""
    caches = tuple(CachePlan(cache.pool, quota) for cache, quota in zip(made.caches, quotas, strict=True))
    slots = [sum(cache.quota for cache in caches if cache.pool == number) for number in range(len(made.pools))]
    pools = tuple(replace(pool, slots=n) for pool, n in zip(made.pools, slots, strict=True))
    return replace(made, pools=pools, caches=caches)
