"""What a store counted, as rates, by layer and in all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ostinato import _memory


@dataclass(frozen=True)
class Statistics:
    """Counters of native/memory/counters.h, by name."""

    counts: Mapping[str, int]

    @property
    def wanted(self) -> int:
        return self.counts["hits"] + self.counts["misses"]

    @property
    def hit_rate(self) -> float:
        """Of what was wanted, the part that was there."""
        return self.counts["hits"] / max(1, self.wanted)

    @property
    def recall(self) -> float:
        """Of what was wanted, the part that had been hinted."""
        return self.counts["foreseen"] / max(1, self.wanted)

    @property
    def precision(self) -> float:
        """Of what was hinted, the part that was wanted."""
        return self.counts["foreseen"] / max(1, self.counts["hinted"])

    @property
    def coarse_share(self) -> float:
        """Of what was wanted, the part that was taken from copies in fewer bits."""
        return self.counts["coarse"] / max(1, self.wanted)

    @property
    def stall_seconds(self) -> float:
        return self.counts["stall_ns"] * 1e-9

    @property
    def bytes_read(self) -> int:
        return self.counts["demand_bytes"] + self.counts["prefetch_bytes"]

    def since(self, earlier: Statistics) -> Statistics:
        """What was counted after that."""
        return Statistics({name: count - earlier.counts[name] for name, count in self.counts.items()})


def statistics(store: _memory.Store) -> Statistics:
    """Of all layers together."""
    return _of(store.counters().sum(axis=0).tolist())


def by_layer(store: _memory.Store) -> list[Statistics]:
    return [_of(row) for row in store.counters().tolist()]


def figures(store: _memory.Store, rule: _memory.MissRule | None = None) -> dict[str, int]:
    """For metrics: the counters of all layers together, how full the slots are, in bytes, and how long a read takes by
    the rule for misses, where there is one."""
    occupied = store.occupancy()
    return {
        **{f"store_{name}": count for name, count in statistics(store).counts.items()},
        "store_read_latency_ns": round(1e9 * rule.latency) if rule is not None else 0,
        "store_read_rate": round(rule.rate) if rule is not None else 0,
        "store_budget_bytes": store.budget,
        "store_slot_bytes": store.bytes,
        "store_used_bytes": sum(slot_bytes * used for slot_bytes, _, used, _ in occupied),
        "store_parcel_bytes": sum(payload for *_, payload in occupied),
    }


def _of(row: list[int]) -> Statistics:
    return Statistics(dict(zip(_memory.COUNTERS, row, strict=True)))
