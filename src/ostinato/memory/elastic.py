"""Slots go where they are worth most: from cache to cache, and between weights and what else shares their memory.

    heat      uses of every parcel, those of HALF_LIFE looks ago counting half
    a look    every LOOK_STEPS steps of the engine: heat, and the division that it asks for
    a move    where that division would hit MARGIN more of what is wanted than the present one: a slot that moves
              costs a read, so that small differences, which are noise, move nothing

What must go goes by its worth, as the store's policy has it. While parcels that would have to go are in use, a move
waits for the next step. Numbers do not change: they come from the same bytes, wherever these lie.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from time import monotonic, sleep
from typing import TYPE_CHECKING

import numpy as np

from ostinato import _memory
from ostinato.memory.budget import MemoryPlan
from ostinato.memory.division import Division

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

LOOK_STEPS = 64  # dividing slots between 94 caches of 512 parcels takes 3 ms
HALF_LIFE = 8.0  # looks: some hundred steps; the policy follows faster changes
MARGIN = 0.01  # of what is wanted
NAP = 0.0005  # seconds between two tries while something is in use
PATIENCE = 5.0  # seconds for which what is in use is waited for


class Elastic:
    """The controller of one store, whose slots are as `plan` says, in `bytes` of memory. `kept_of`: the parcels that
    never go, for each plan; those of `plan` are kept already."""

    def __init__(
        self, store: _memory.Store, plan: MemoryPlan, kept_of: Callable[[MemoryPlan], Sequence[int]] = lambda _: ()
    ) -> None:
        self.plan = self._target = plan
        self.bytes = plan.slot_bytes
        self.looks = self.moves = 0  # moves: of the slots of one pool
        self._store, self._kept_of = store, kept_of
        self._division = Division(plan)
        self._most = sum(pool.slot_bytes * pool.parcels for pool in plan.pools)  # bytes; less where memory has ended
        self._kept = self._coming = frozenset(kept_of(plan))  # by the store; where the target is reached
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
        present, then = (self._division.expected_hits(self._heat, made) for made in (self.plan, best))
        self._aim(best if then - present > MARGIN * self._heat.sum() else self.plan)

    def grow(self, nbytes: int) -> None:
        """So many bytes more may be slots; they are, as soon as a step allows it."""
        self.bytes += nbytes
        if not self._store.set_budget(self.bytes):
            raise RuntimeError("a larger budget has room for what a smaller one had room for")
        self._aim(self._best(self.bytes))

    def shrink(self, nbytes: int) -> bool:
        """So many bytes less are slots when this returns. What is in use now is waited for: steps in flight and reads
        end by themselves. Those that have not after PATIENCE seconds keep their slots, and it is False."""
        left, until = self.bytes - nbytes, monotonic() + PATIENCE
        self._aim(self._best(left))
        while not (self.move() and self._store.set_budget(left)):
            if monotonic() > until:
                self._aim(self.plan)
                reading = int((self._store.states() == _memory.READING).sum())
                log.warning(
                    "%d bytes of slots are wanted back and were in use for %g s; %d reads of experts have not ended",
                    nbytes, PATIENCE, reading,
                )  # fmt: skip
                return False
            sleep(NAP)
            self._aim(self._best(left))
        self.bytes = left
        return True

    def move(self) -> bool:
        """Towards the target, pools that shrink first. False while something that would have to go is in use, or where
        the system has no memory for more slots."""
        if self._target == self.plan and self._kept == self._coming:
            return True
        self._keep(self._kept & self._coming)
        grown = [new.slots - old.slots for new, old in zip(self._target.pools, self.plan.pools, strict=True)]
        for pool in sorted(range(len(grown)), key=grown.__getitem__):
            if not self._move_pool(pool):
                return False
        if self._kept != self._coming:
            self._keep(self._coming)
            self._store.hint(_array(self._coming))  # read when there is time
        return True

    def _move_pool(self, pool: int) -> bool:
        wanted, present = (
            [cache.quota for cache in made.caches if cache.pool == pool] for made in (self._target, self.plan)
        )
        if wanted == present:
            return True
        try:
            if not self._store.resize(pool, self._target.pools[pool].slots, wanted):
                return False
        except _memory.NoMemoryError as error:
            log.warning("slots do not become more: %s", error)
            self._most = self.plan.slot_bytes
            self._aim(self.plan)
            return False
        self.plan = _with_pool(self.plan, self._target, pool)
        self.moves += 1
        return True

    def _best(self, nbytes: int) -> MemoryPlan:
        return self._division.plan(self._heat, min(nbytes, self._most))

    def _aim(self, target: MemoryPlan) -> None:
        if target != self._target:
            self._target, self._coming = target, frozenset(self._kept_of(target))

    def _keep(self, kept: frozenset[int]) -> None:
        if kept != self._kept:
            self._store.keep(_array(kept))
            self._kept = kept


def _array(parcels: Iterable[int]) -> NDArray[np.int32]:
    return np.array(sorted(parcels), np.int32)


def _with_pool(made: MemoryPlan, target: MemoryPlan, pool: int) -> MemoryPlan:
    """The plan with one pool and its caches as in the target."""
    caches = tuple(b if b.pool == pool else a for a, b in zip(made.caches, target.caches, strict=True))
    pools = tuple(b if n == pool else a for n, (a, b) in enumerate(zip(made.pools, target.pools, strict=True)))
    return replace(made, pools=pools, caches=caches)
