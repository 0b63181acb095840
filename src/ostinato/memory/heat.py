"""How unevenly a model uses its experts, and what a store with room for some of them would have hit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log2

from ostinato.memory.options import StoreOptions
from ostinato.memory.parcels import Parcels
from ostinato.memory.profile import Profile
from ostinato.memory.routing import Routing, followed, foreseen
from ostinato.memory.simulate import hit_rates_by_layer

ROOMS = (0.5, 0.25, 0.125)  # of a layer's experts: the budgets that are tried


@dataclass(frozen=True)
class LayerHeat:
    """One stack of experts: how often each was wanted, and what follows from that.

    `follows` is the recall of guesses from the stack before it, `foreseen` that of its router a layer ahead, `hits` a
    hit rate for each of ROOMS; None and empty where only counts are known.
    """

    layer: int
    counts: tuple[int, ...]
    follows: float | None = None
    foreseen: float | None = None
    hits: tuple[float, ...] = ()

    @property
    def entropy(self) -> float:
        """Bits; log2(experts) where all are wanted equally often."""
        total = sum(self.counts)
        return -sum(n / total * log2(n / total) for n in self.counts if n) if total else 0.0

    @property
    def top_quarter(self) -> float:
        """The part of all uses that the most wanted quarter of the experts has."""
        most = sorted(self.counts, reverse=True)[: -(-len(self.counts) // 4)]
        return sum(most) / max(1, sum(self.counts))

    @property
    def untouched(self) -> int:
        """Experts that nobody wanted."""
        return self.counts.count(0)


def heat_of_profile(profile: Profile) -> list[LayerHeat]:
    return [LayerHeat(layer, counts) for layer, counts in zip(profile.layers, profile.counts, strict=True)]


def heat_of_routing(routing: Routing, half_life: float = StoreOptions.half_life) -> list[LayerHeat]:
    """With what a recorded order tells beyond the counts; `half_life` is LFRU's, in tokens."""
    hits = zip(*(_hits(routing, room, half_life) for room in ROOMS), strict=True)
    guesses = zip(followed(routing), foreseen(routing), strict=True)
    heats = zip(heat_of_profile(routing.profile), guesses, hits, strict=True)
    return [replace(heat, follows=one, foreseen=other, hits=rates) for heat, (one, other), rates in heats]


def _hits(routing: Routing, room: float, half_life: float) -> Sequence[float]:
    """The hit rate of every stack, each with slots for that part of its experts, LFRU as the policy."""
    parcels = routing.parcels
    cache = [index for index, stack in enumerate(parcels.stacks) for _ in range(stack.count)]
    quotas = [max(1, round(room * stack.count)) for stack in parcels.stacks]
    return hit_rates_by_layer(routing.trace, cache, quotas, "lfru", half_life * len(parcels.stacks))


def stacks_of(parcels: Parcels) -> str:
    """In words: "16 layers of 64 experts"."""
    counts = sorted({stack.count for stack in parcels.stacks})
    experts = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{len(parcels.stacks)} layers of {experts} experts"
