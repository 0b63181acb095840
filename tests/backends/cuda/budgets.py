"""For tests of experts in a budget: plans that hold a share of the experts, and a policy that never rests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ostinato.backends.contract import Plan
from ostinato.backends.cuda.image import MAX_STEPS
from ostinato.backends.cuda.stacks import find_stacks
from ostinato.backends.device.budget import make_budget
from ostinato.backends.device.lower import lower
from ostinato.engine.loading import Opened
from ostinato.memory.device import DevicePlan
from ostinato.memory.hot import MOST_MOVES, Move

PLENTY = 1 << 40


def budget_of(opened: Opened, share: float) -> Plan:
    """The plan with a budget that holds this share of the experts."""
    lowered = [lower(program, opened.file.tensors, opened.plan) for program in opened.programs]
    whole = make_budget(opened.programs, lowered, opened.file.tensors, opened.plan, MAX_STEPS)
    experts = sum(stack.experts * stack.parcel_bytes for stack in find_stacks(lowered, opened.file.tensors))
    return replace(opened.plan, device_memory=whole.total - int((1 - share) * experts), pinned_memory=PLENTY)


class Restless:
    """Moves something at every look: any residents for any others of their size, as many as it can."""

    def __init__(self, plan: DevicePlan, first: Sequence[int], seed: int = 1) -> None:
        self._plan, self.there, self._random = plan, set(first), np.random.default_rng(seed)
        self.uses = np.zeros(len(plan.parcel_bytes), np.uint32)
        self.steps = 0

    def update(self, uses: np.ndarray, steps: int) -> list[Move]:
        self.uses, self.steps = uses.copy(), self.steps + steps
        moves = [move for own in self._plan.classes for move in self._pairs(own.parcels)][:MOST_MOVES]
        for out, into in moves:
            self.there.symmetric_difference_update((out, into))
        return moves

    def _pairs(self, parcels: Sequence[int]) -> list[Move]:
        out = self._random.permutation([p for p in parcels if p in self.there])
        into = self._random.permutation([p for p in parcels if p not in self.there])
        return [(int(o), int(i)) for o, i in zip(out, into, strict=False)]
