"""Which part of expert reads a device's slots serve, beside caches that take in all they read, and what it moves.

    python -m bench.hot --layers 12 --experts 64 FILE ...      traces recorded by `python -m bench.expert_use --trace`

`hot` is memory/hot.py, looking every few tokens; LRU and LFRU copy every miss into a slot, Belady's bound too, knowing
what comes; `fixed` keeps the experts that this very text wants most. Bus: experts read or copied across it, a token.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ostinato.memory.cost import Line
from ostinato.memory.device import plan_device
from ostinato.memory.hot import BusCosts, HotSet, first_parcels
from ostinato.memory.parcels import ExpertStack
from ostinato.memory.simulate import hit_rate
from ostinato.memory.trace import Trace, load_trace

SHARES = (0.5, 0.25, 0.12)  # of all experts
LOOKS = (4, 50)  # tokens between two: single steps, and runs of a device
EXPERT = 3 << 20  # bytes
BUS = BusCosts(Line(10e-6, 25e9))  # as of a PCIe 4 card; moves depend on the latency's part of a copy only
HALF_LIFE = 16.0  # tokens, of LFRU


@dataclass(frozen=True)
class Text:
    """A trace, as what every token wants: bool [tokens, parcels]."""

    trace: Trace
    wanted: NDArray[np.bool_]
    layers: int

    @property
    def tokens(self) -> int:
        return len(self.wanted)


def read(path: Path, layers: int, experts: int) -> Text:
    """Raises TraceError for another model's."""
    trace = load_trace(path, layers * experts)
    wanted = np.zeros((trace.steps // layers, layers * experts), bool)
    token = np.repeat(np.arange(trace.steps) // layers, np.diff(trace.first))
    wanted[token, trace.parcels] = True
    return Text(trace, wanted, layers)


def hot(text: Text, slots: int, look: int) -> HotSet:
    """After the whole text."""
    parcels = text.wanted.shape[1]
    made = plan_device([EXPERT] * parcels, other_bytes=0, device_memory=slots * EXPERT, pinned_memory=1 << 60)
    each = parcels // text.layers
    stacks = [ExpertStack(layer, (), layer * each, each, ()) for layer in range(text.layers)]
    found = HotSet(made, BUS, first_parcels(made, stacks))
    uses = np.zeros(parcels, np.uint32)
    for first in range(0, text.tokens, look):
        part = text.wanted[first : first + look]
        uses += part.sum(axis=0, dtype=np.uint32)
        found.update(uses, len(part))
    return found


def line(text: Text, share: float) -> str:
    parcels, wanted = text.wanted.shape[1], int(text.wanted.sum())
    slots = int(share * parcels)
    columns = []
    for look in LOOKS:
        found = hot(text, slots, look)
        bus = (found.bus_reads + found.moves) / text.tokens
        columns.append(
            f"hot/{look} {found.device_reads / wanted:.3f} (bus {bus:.1f}, moves {found.moves / text.tokens:.2f})"
        )
    for policy in ("lru", "lfru", "oracle"):
        rate = hit_rate(text.trace, [0] * parcels, [slots], policy, HALF_LIFE * text.layers)
        columns.append(f"{policy} {rate:.3f} (bus {(1 - rate) * wanted / text.tokens:.1f})")
    fixed = np.sort(text.wanted.sum(axis=0))[::-1][:slots].sum() / wanted
    return f"{share:.0%}: " + "; ".join([*columns, f"fixed {fixed:.3f}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("traces", nargs="+", type=Path)
    parser.add_argument("--layers", type=int, required=True)
    parser.add_argument("--experts", type=int, required=True)
    options = parser.parse_args()
    for path in options.traces:
        text = read(path, options.layers, options.experts)
        print(f"{path.name}: {text.tokens} tokens, {int(text.wanted.sum()) / text.tokens:.0f} experts a token")
        for share in SHARES:
            print(f"  {line(text, share)}")


if __name__ == "__main__":
    main()
