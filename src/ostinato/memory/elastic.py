"""Slots go where they are worth most: from cache to cache, and between weights and what else shares their memory.

A slot of a cache is worth the uses of the parcel that it would hold. Were every choice of experts independent of the
one before, the best that q slots of a cache could hold would be its q most wanted parcels, and each slot more would be
worth no more than the one before; so the slots go one by one to whichever cache's next parcel has the most uses for the
bytes that it takes, and no other division hits more (Stone, Turek and Wolf, "Optimal partitioning of cache memory",
IEEE Transactions on Computers 41, 1992: at the optimum all caches have the same marginal value). Choices are not quite
independent; but what a policy gains from their order it gains in every cache.

    heat      uses of every parcel, those of HALF_LIFE looks ago counting half
    a look    every LOOK_STEPS steps of the engine: heat, and the division that it asks for
    a move    where that division would hit MARGIN more of what is wanted than the present one: a slot that moves
              costs a read, so that small differences, which are noise, move nothing

Nothing is read by a move. What must go goes by its worth, as the store's policy has it. While parcels that would have
to go are in use, the move waits for the next step.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ostinato.memory.budget import LEAST_SLOTS, CachePlan, MemoryPlan, PoolPlan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ostinato import _memory

LOOK_STEPS = 64  # a look takes as long as a pass over the parcels' counts: about a ten thousandth of so many steps
HALF_LIFE = 8.0  # looks: some hundred steps; the policy follows faster changes
MARGIN = 0.01  # of what is wanted


def divide(heat: NDArray[np.float64], made: MemoryPlan, budget: int, least: Sequence[int]) -> MemoryPlan:
    """The plan with its slots divided by heat, in `budget` bytes of slots. A cache has at least `least` slots, and no
    more than parcels."""
    members = [np.flatnonzero(np.array(made.cache) == number) for number in range(len(made.caches))]
    ranked = [np.sort(heat[own])[::-1] for own in members]
    size = [made.pools[cache.pool].slot_bytes for cache in made.caches]
    quotas = [min(low, len(own)) for low, own in zip(least, members, strict=True)]
    left = budget - sum(q * s for q, s in zip(quotas, size, strict=True))

    def worth(number: int) -> tuple[float, float, int]:
        """Smallest first: the next slot's uses for a byte; of equal ones the emptiest cache's, so that what nobody
        wants is divided evenly."""
        filled = quotas[number] / len(members[number])
        return -float(ranked[number][quotas[number]]) / size[number], filled, number

    queue = [worth(number) for number, own in enumerate(members) if quotas[number] < len(own)]
    heapq.heapify(queue)
    while queue:
        number = heapq.heappop(queue)[2]
        if size[number] > left:
            continue  # slots of other pools may be smaller
        quotas[number] += 1
        left -= size[number]
        if quotas[number] < len(members[number]):
            heapq.heappush(queue, worth(number))
    return with_quotas(made, quotas)


def with_quotas(made: MemoryPlan, quotas: Sequence[int]) -> MemoryPlan:
    """The plan with other quotas; every pool has as many slots as its caches."""
    caches = tuple(CachePlan(cache.pool, quota) for cache, quota in zip(made.caches, quotas, strict=True))
    slots = [sum(cache.quota for cache in caches if cache.pool == number) for number in range(len(made.pools))]
    pools = tuple(PoolPlan(pool.slot_bytes, n, pool.parcels) for pool, n in zip(made.pools, slots, strict=True))
    return replace(made, pools=pools, caches=caches)


def expected_hits(heat: NDArray[np.float64], made: MemoryPlan) -> float:
    """Uses of the parcels that would be there, were each cache to hold its most wanted ones."""
    cache = np.array(made.cache)
    return float(sum(np.sort(heat[cache == n])[::-1][: own.quota].sum() for n, own in enumerate(made.caches)))


@dataclass
class Elastic:
    """The controller of one store, whose slots are as `plan` says. `kept`: parcels that never go."""

    store: _memory.Store
    plan: MemoryPlan
    kept: Sequence[int] = ()
    looks: int = 0
    moves: int = 0  # divisions that were carried out
    _steps: int = 0
    _heat: NDArray[np.float64] = field(init=False)
    _seen: NDArray[np.int64] = field(init=False)
    _target: MemoryPlan = field(init=False)

    def __post_init__(self) -> None:
        self._seen = self.store.uses()
        self._heat = np.zeros(len(self._seen))
        self._target = self.plan

    def step(self) -> None:
        """Between two steps of the engine."""
        self._steps += 1
        if self._steps % LOOK_STEPS == 0:
            self.look()
        if self._target != self.plan:
            self._move()

    def look(self) -> None:
        """What was wanted since the last look, and the division that follows from it."""
        self.looks += 1
        uses = self.store.uses()
        self._heat = self._heat * 0.5 ** (1 / HALF_LIFE) + (uses - self._seen)
        self._seen = uses
        best = divide(self._heat, self.plan, self.plan.slot_bytes, self._least())
        gain = expected_hits(self._heat, best) - expected_hits(self._heat, self.plan)
        self._target = best if gain > MARGIN * self._heat.sum() else self.plan

    def _least(self) -> list[int]:
        """Slots that a cache needs: for what is kept, and to compute with one other parcel while another is read."""
        kept = np.bincount(np.array(self.plan.cache)[list(self.kept)], minlength=len(self.plan.caches))
        return [int(n) + LEAST_SLOTS for n in kept]

    def _move(self) -> None:
        """Towards the target, pools that shrink first. What cannot be done now is left for the next step."""
        grown = [new.slots - old.slots for new, old in zip(self._target.pools, self.plan.pools, strict=True)]
        for pool in sorted(range(len(grown)), key=grown.__getitem__):
            wanted, present = (
                [cache.quota for cache in made.caches if cache.pool == pool] for made in (self._target, self.plan)
            )
            if wanted == present:
                continue
            if not self.store.resize(pool, self._target.pools[pool].slots, wanted):
                return
            self.plan = _with_pool(self.plan, self._target, pool)
        self.moves += 1


def _with_pool(made: MemoryPlan, target: MemoryPlan, pool: int) -> MemoryPlan:
    """The plan with one pool and its caches as in the target."""
    caches = tuple(b if b.pool == pool else a for a, b in zip(made.caches, target.caches, strict=True))
    pools = tuple(b if n == pool else a for n, (a, b) in enumerate(zip(made.pools, target.pools, strict=True)))
    return replace(made, pools=pools, caches=caches)
