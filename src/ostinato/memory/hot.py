"""Which experts lie in a device's slots: those that were wanted most of late, moved where a move pays.

An expert without a slot is read across the bus whenever it is wanted, so that nothing must be moved ever: what is
wanted once passes by. A move is worth the reads that it saves. The reads of the last steps, older ones counting less,
are what the next ones are expected to be, for as long as they counted: the newcomer's less the leaver's, times the time
of a read, must be more than a copy takes, and more by a margin, or else two experts wanted alike would change places
for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ostinato.memory.cost import Line
from ostinato.memory.device import DevicePlan, SlotClass
from ostinato.memory.parcels import ExpertStack
from ostinato.memory.profile import load_profile

HALF_LIFE = 16.0  # steps: docs/log.md has figures of shorter and longer ones
LOOK_STEPS = 4  # fewer are left to the next look
MARGIN = 2.0  # times the cost of a move is what it must save
STAY = 0.25  # and so much of the leaver's own reads
MOVES_A_STEP = 2  # looked at; copies share the bus with reads
MOST_MOVES = 32  # of one look
COPIES = 3  # of a move: the weights, and addresses before and behind them

Move = tuple[int, int]  # parcels: out, in


@dataclass(frozen=True)
class BusCosts:
    """Of the bus between pinned memory and the device: `copy` was timed (memory/cost.py). A kernel's own read has no
    copy to set up, and no more of the bus than a copy has."""

    copy: Line

    def read_seconds(self, nbytes: int) -> float:
        """An expert read where it lies."""
        return nbytes / self.copy.rate

    def move_seconds(self, nbytes: int) -> float:
        """An expert copied into a slot."""
        return self.copy.seconds(nbytes) + (COPIES - 1) * self.copy.latency


class HotSet:
    """The parcels in the slots of one executable; every slot has one. `first`: those at the start, as `first_parcels`
    names them."""

    def __init__(self, plan: DevicePlan, costs: BusCosts, first: Sequence[int]) -> None:
        self.plan, self.costs, self._parcels = plan, costs, [np.array(own.parcels) for own in plan.classes]
        self._there = np.zeros(len(plan.parcel_bytes), bool)
        self._there[list(first)] = True
        self._bytes = np.array(plan.parcel_bytes)
        self._worth = np.array([_reads_for_a_move(costs, own.slot_bytes) for own in plan.classes])
        self._seen = np.zeros(len(plan.parcel_bytes), np.uint32)
        self._heat = np.zeros(len(plan.parcel_bytes))
        self._steps = 0  # since the last look
        self.looks = self.moves = 0
        self.device_reads = self.bus_reads = 0  # of experts, a step's rows together
        self.bus_bytes = self.moved_bytes = 0  # of those reads, and of moves
        self.check_integrity()

    @property
    def resident(self) -> list[int]:
        """Parcels that have a slot, in order."""
        return [int(parcel) for parcel in np.flatnonzero(self._there)]

    def update(self, uses: NDArray[np.uint32], steps: int) -> list[Move]:
        """What to move, best first, after `steps` steps more. `uses` are the rows that wanted each parcel, as counted
        since the start, wrapping. At most MOST_MOVES, all of which count as done."""
        self._steps += steps
        if self._steps < LOOK_STEPS:
            return []
        self._warm(uses)
        most = min(MOST_MOVES, MOVES_A_STEP * self._steps)
        self._steps = 0
        self.looks += 1
        worthy = sorted(
            (move for number in range(len(self._parcels)) for move in self._pairs(number, most)), reverse=True
        )
        moves = [(out, into) for _, out, into in worthy[:most]]
        for out, into in moves:
            self._there[out], self._there[into] = False, True
            self.moves += 1
            self.moved_bytes += int(self._bytes[into])
        return moves

    def figures(self) -> dict[str, int]:
        """For metrics: totals since the start, by the names in records_table.COUNTERS, and what is where, in bytes."""
        return {
            "gpu_hits": self.device_reads,
            "gpu_misses": self.bus_reads,
            "gpu_bus_bytes": self.bus_bytes,
            "gpu_moves": self.moves,
            "gpu_moved_bytes": self.moved_bytes,
            "gpu_pinned_bytes": self.plan.pinned_bytes,
            "gpu_slot_bytes": self.plan.slot_bytes,
            "gpu_parcel_bytes": int(self._bytes[self._there].sum()),
        }

    def check_integrity(self) -> None:
        """Every slot has a parcel of its size. Raises AssertionError."""
        for own, parcels in zip(self.plan.classes, self._parcels, strict=True):
            assert self._there[parcels].sum() == own.slots, f"{own.slots} slots of {own.slot_bytes} bytes"

    def _warm(self, uses: NDArray[np.uint32]) -> None:
        """A step reads an expert once, for however many rows; which steps' rows they were is not known."""
        reads = np.minimum(uses - self._seen, self._steps)
        self._seen = uses.copy()
        away = reads * ~self._there
        self.device_reads += int(reads.sum() - away.sum())
        self.bus_reads += int(away.sum())
        self.bus_bytes += int(away @ self._bytes)
        self._heat *= 0.5 ** (self._steps / HALF_LIFE)
        self._heat += reads

    def _pairs(self, number: int, most: int) -> list[tuple[float, int, int]]:
        """(seconds saved, out, in) of a class: its hottest outsiders for its coldest residents, while that pays."""
        parcels = self._parcels[number]
        out = _best(parcels[self._there[parcels]], -self._heat, most)
        into = _best(parcels[~self._there[parcels]], self._heat, most)
        gain = self._heat[into[: len(out)]] - self._heat[out[: len(into)]]
        pays = gain > np.maximum(MARGIN * self._worth[number], STAY * self._heat[out[: len(into)]])
        size = self.plan.classes[number].slot_bytes
        return [(float(g) * size, int(o), int(i)) for g, o, i, yes in zip(gain, out, into, pays, strict=False) if yes]


def first_parcels(plan: DevicePlan, stacks: Sequence[ExpertStack], profile: str | None = None) -> list[int]:
    """A parcel for every slot: those that a saved profile has most uses of, or else the first experts of every stack
    alike. Raises ProfileError."""
    uses = np.zeros(len(plan.parcel_bytes))
    numbers = np.concatenate([np.arange(stack.count) for stack in stacks])
    if profile is not None:
        uses = np.concatenate([np.array(own, float) for own in load_profile(Path(profile), stacks).counts])
    return sorted(int(p) for own in plan.classes for p in _first_of(own, uses, numbers))


def _first_of(own: SlotClass, uses: NDArray[np.float64], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    parcels = np.array(own.parcels)
    return parcels[np.lexsort((parcels, numbers[parcels], -uses[parcels]))[: own.slots]]


def _best(parcels: NDArray[np.int64], score: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """The `most` of highest score, best first; of equal ones the lowest number."""
    if len(parcels) > most:
        least = np.partition(score[parcels], -most)[-most]
        parcels = parcels[score[parcels] >= least]
    return parcels[np.argsort(-score[parcels], kind="stable")][:most]


def _reads_for_a_move(costs: BusCosts, nbytes: int) -> float:
    return costs.move_seconds(nbytes) / costs.read_seconds(nbytes)
