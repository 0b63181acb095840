"""What experts beside a device's slots cost its bus, for `ostinato bench`: by the token, and what was planned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ostinato.cli.output import print_table, size

if TYPE_CHECKING:
    from ostinato.memory.hot import HotSet

HEADER = ("BATCH", "EXPERTS OF", "ON THE DEVICE", "READ ACROSS THE BUS A TOKEN", "MOVED A TOKEN")


class BusFigures:
    """What is counted between one mark and the next; nothing where no experts lie in slots."""

    def __init__(self, hot: HotSet | None) -> None:
        self._hot = hot
        self._marks: list[Mapping[str, int]] = []
        self.mark()

    def mark(self) -> None:
        if self._hot is not None:
            self._marks.append(self._hot.figures())

    def figures(self, what: str, mark: int, tokens: int) -> dict[str, float]:
        """Of the stretch that begins with that mark, in which so many tokens were computed."""
        if self._hot is None:
            return {}
        before, after = self._marks[mark : mark + 2]
        found = {name: after[name] - before[name] for name in after}
        return {
            f"{what}_device_hit_rate": found["gpu_hits"] / max(1, found["gpu_hits"] + found["gpu_misses"]),
            f"{what}_bus_bytes_per_token": found["gpu_bus_bytes"] / tokens,
            f"{what}_moved_bytes_per_token": found["gpu_moved_bytes"] / tokens,
        }


def planned(hot: HotSet | None) -> dict[str, Any] | None:
    """What the budget of the device became, and what the bus was found to be."""
    if hot is None:
        return None
    made, copy = hot.plan, hot.costs.copy
    return {
        "device_bytes": made.nbytes,
        "slots": made.slots,
        "experts": len(made.parcel_bytes),
        "slot_bytes": made.slot_bytes,
        "pinned_bytes": made.pinned_bytes,
        "bus_latency_seconds": copy.latency,
        "bus_bytes_per_second": copy.rate,
    }


def print_bus(plan: Mapping[str, Any], batches: Sequence[Mapping[str, float]]) -> None:
    """Both, for people."""
    print()
    print(
        f"{plan['slots']} of {plan['experts']} experts in slots ({size(plan['device_bytes'])} of the device with all "
        f"else), {size(plan['pinned_bytes'])} pinned; the bus copies {plan['bus_bytes_per_second'] / 1e9:.1f} GB/s "
        f"after {1e6 * plan['bus_latency_seconds']:.0f} us"
    )
    rows = [_row(figures, what) for figures in batches for what in ("prefill", "decode")]
    print_table(rows, HEADER, range(2, 5))


def _row(figures: Mapping[str, float], what: str) -> tuple[str, ...]:
    sizes = [size(figures[f"{what}_{key}_bytes_per_token"]) for key in ("bus", "moved")]
    return f"{figures['batch']}", what, f"{100 * figures[f'{what}_device_hit_rate']:.1f} %", *sizes
