"""A model's weights on a card: planes of all that is resident, experts in a budget at home and in slots, and the tables
that tell kernels where everything is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ostinato.backends.cuda.home import build_home
from ostinato.backends.cuda.memory import Memory, Upload, aligned
from ostinato.backends.cuda.slots import Slots
from ostinato.backends.cuda.stacks import expert_count, find_stacks, resident_table, weight_entries
from ostinato.backends.device.experts import DeviceExperts
from ostinato.backends.device.lower import Lowered
from ostinato.backends.device.planes import device_bytes, to_planes
from ostinato.model.weights import StoredTensor, WeightExpr, resolve


@dataclass(frozen=True)
class Budgeted:
    """Experts that are not all resident; `first` lie in slots at first."""

    experts: DeviceExperts
    first: Sequence[int]


@dataclass(frozen=True)
class Weights:
    """Addresses: what the table of weights has for each, and the counters of `experts` experts' uses. `slots` of a
    budget's experts, None where all are resident."""

    entries: Mapping[WeightExpr, int]
    uses: int
    experts: int
    slots: Slots | None


def upload_weights(
    memory: Memory, upload: Upload, exprs: Sequence[WeightExpr], lowered: Sequence[Lowered],
    tensors: Mapping[str, StoredTensor], budgeted: Budgeted | None,
) -> Weights:  # fmt: skip
    """Allocates and uploads. Raises OutOfDeviceMemoryError."""
    stacks, count = find_stacks(lowered, tensors), expert_count(lowered)
    at_home = {w for stack in budgeted.experts.stacks for w in stack.weights} if budgeted else set()
    places = _resident(memory, upload, [expr for expr in exprs if expr not in at_home], tensors)
    entries = resident_table([stack for stack in stacks if at_home.isdisjoint(stack.weights)], count, places)
    table = memory.allocate("expert table", entries.nbytes)
    slots = None
    if budgeted is not None:
        home = build_home(memory, stacks, budgeted.experts, tensors)
        slots = Slots(memory, home, budgeted.experts.plan, budgeted.first, table)
        entries[home.rows] = slots.entries()
    upload.pieces(table, [entries])
    uses = upload.array("uses", np.zeros(count, np.uint32))
    return Weights(places | weight_entries(stacks, table), uses, count, slots)


def _resident(
    memory: Memory, upload: Upload, exprs: Sequence[WeightExpr], tensors: Mapping[str, StoredTensor]
) -> dict[WeightExpr, int]:
    """Every weight in planes, once, all in one allocation."""
    views = {expr: resolve(expr, tensors) for expr in exprs}
    places, size = {}, 0
    for expr, view in views.items():
        places[expr], size = size, size + aligned(device_bytes(view))
    base = memory.allocate("weights", size)
    for expr, view in views.items():
        upload.pieces(base + places[expr], to_planes(view))
    return {expr: base + place for expr, place in places.items()}
