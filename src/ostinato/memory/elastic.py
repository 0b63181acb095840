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

What must go goes by its worth, as the store's policy has it. While parcels that would have to go are in use, a move
waits for the next step. Numbers do not change: they come from the same bytes, wherever these lie.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from time import sleep
from typing import TYPE_CHECKING

import numpy as np

from ostinato.memory.budget import LEAST_SLOTS, CachePlan, MemoryPlan, PoolPlan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ostinato import _memory

LOOK_STEPS = 64  # a look at 6144 parcels takes 3 ms, with a cache for each of 48 layers 10
HALF_LIFE = 8.0  # looks: some hundred steps; the policy follows faster changes
MARGIN = 0.01  # of what is wanted
NAP = 0.0005  # seconds between two tries while something is in use


def divide(heat: NDArray[np.float64], made: MemoryPlan, budget: int) -> MemoryPlan:
    """The plan with its slots divided by heat, in `budget` bytes of slots. A cache has at least what it needs to work,
    and no more slots than parcels."""
    members = [np.flatnonzero(np.array(made.cache) == number) for number in range(len(made.caches))]
    ranked = [np.sort(heat[own])[::-1] for own in members]
    size = [made.pools[cache.pool].slot_bytes for cache in made.caches]
    quotas = [min(LEAST_SLOTS, len(own)) for own in members]
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


class Elastic:
    """The controller of one store, whose slots are as `plan` says, in `bytes` of memory. `kept_of`: the parcels that
    never go, for each plan."""

    def __init__(
        self, store: _memory.Store, plan: MemoryPlan, kept_of: Callable[[MemoryPlan], Sequence[int]] = lambda _: ()
    ) -> None:
        self.plan = self._target = plan
        self.bytes = plan.slot_bytes
        self.looks = self.moves = 0  # moves: of the slots of one pool
        self._store, self._kept_of = store, kept_of
        self._moving = False  # what the store keeps is narrowed for a move that is not done
        self._steps = 0
        self._seen = store.uses()
        self._heat = np.zeros(len(self._seen))

    def step(self) -> bool:
        """Between two steps of the engine. Tells whether it was time for a look."""
        self._steps += 1
        looked = self._steps % LOOK_STEPS == 0
        if looked:
            self.look()
        self.move()
        return looked

    def look(self) -> None:
        """What was wanted since the last look, and the division that follows from it."""
        self.looks += 1
        uses = self._store.uses()
        self._heat = self._heat * 0.5 ** (1 / HALF_LIFE) + (uses - self._seen)
        self._seen = uses
        best = self._best(self.bytes)
        gain = expected_hits(self._heat, best) - expected_hits(self._heat, self.plan)
        self._target = best if gain > MARGIN * self._heat.sum() else self.plan

    def grow(self, nbytes: int) -> None:
        """So many bytes more may be slots; they are, as soon as a step allows it."""
        self.bytes += nbytes
        if not self._store.set_budget(self.bytes):
            raise RuntimeError("a larger budget has room for what a smaller one had room for")
        self._target = self._best(self.bytes)

    def shrink(self, nbytes: int) -> None:
        """So many bytes less are slots when this returns. What is in use now is waited for: steps in flight and reads
        end by themselves."""
        self._target = self._best(self.bytes - nbytes)
        while not (self.move() and self._store.set_budget(self.bytes - nbytes)):
            sleep(NAP)
        self.bytes -= nbytes

    def move(self) -> bool:
        """Towards the target, pools that shrink first. False while something that would have to go is in use."""
        if self._target == self.plan and not self._moving:
            return True
        kept = set(self._kept_of(self._target))
        self._keep(kept.intersection(self._kept_of(self.plan)))
        self._moving = True
        grown = [new.slots - old.slots for new, old in zip(self._target.pools, self.plan.pools, strict=True)]
        for pool in sorted(range(len(grown)), key=grown.__getitem__):
            wanted, present = (
                [cache.quota for cache in made.caches if cache.pool == pool] for made in (self._target, self.plan)
            )
            if wanted == present:
                continue
            if not self._store.resize(pool, self._target.pools[pool].slots, wanted):
                return False
            self.plan = _with_pool(self.plan, self._target, pool)
            self.moves += 1
        self._keep(kept)
        self._moving = False
        return True

    def _best(self, nbytes: int) -> MemoryPlan:
        return divide(self._heat, self.plan, nbytes)

    def _keep(self, kept: Iterable[int]) -> None:
        """These never go, and are read when there is time."""
        parcels = np.array(sorted(kept), np.int32)
        self._store.keep(parcels)
        self._store.hint(parcels)


def _with_pool(made: MemoryPlan, target: MemoryPlan, pool: int) -> MemoryPlan:
    """The plan with one pool and its caches as in the target."""
    caches = tuple(b if b.pool == pool else a for a, b in zip(made.caches, target.caches, strict=True))
    pools = tuple(b if n == pool else a for n, (a, b) in enumerate(zip(made.pools, target.pools, strict=True)))
    return replace(made, pools=pools, caches=caches)
