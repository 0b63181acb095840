"""A budget of a device's memory: how many experts lie in its slots, and what of the machine's is pinned for all.

Experts that have no slot are read across the bus from pinned memory, where every expert has its home. So any number of
slots will do, none too; what is not an expert must fit.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from ostinato.memory.budget import BudgetError, amount, share, size_classes
from ostinato.memory.machine import cgroup_limit, process_bytes
from ostinato.memory.residency import ALLOWANCE

SLOT_ALIGNMENT = 256  # bytes: as devices align what they allocate
UPLOAD_BYTES = 64 << 20  # pinned beside the home while weights are uploaded


@dataclass(frozen=True)
class SlotClass:
    """`slots` of `slot_bytes` each, for these parcels."""

    slot_bytes: int
    slots: int
    parcels: tuple[int, ...]


@dataclass(frozen=True)
class DevicePlan:
    """Slots by size; `other_bytes` are what else the device holds, `pinned_bytes` the experts' home on the host."""

    other_bytes: int
    parcel_bytes: tuple[int, ...]  # of every parcel, as the device reads it
    classes: tuple[SlotClass, ...]
    class_of: tuple[int, ...]  # of every parcel
    pinned_bytes: int

    @property
    def slots(self) -> int:
        return sum(own.slots for own in self.classes)

    @property
    def slot_bytes(self) -> int:
        """Of all slots."""
        return sum(own.slots * own.slot_bytes for own in self.classes)

    @property
    def nbytes(self) -> int:
        """Of the device."""
        return self.other_bytes + self.slot_bytes

    @property
    def complete(self) -> bool:
        """Whether every parcel has a slot: then none needs a home beside it."""
        return all(own.slots == len(own.parcels) for own in self.classes)


def plan_device(parcel_bytes: Sequence[int], *, other_bytes: int, device_memory: int, pinned_memory: int) -> DevicePlan:
    """Slots for every size of parcels in what `device_memory` leaves, the same fraction of each. Raises BudgetError
    where what is no expert does not fit, or where the experts' home is larger than `pinned_memory`."""
    sizes = [-(-nbytes // SLOT_ALIGNMENT) * SLOT_ALIGNMENT for nbytes in parcel_bytes]
    if device_memory < other_bytes:
        raise BudgetError(
            f"{amount(device_memory)} is too little of the device's memory; what this model must have there takes "
            f"{amount(other_bytes)}, all of it {amount(other_bytes + sum(sizes))}"
        )
    pools, class_of = size_classes(sizes)
    slots = share(pools, [0] * len(pools), device_memory - other_bytes)
    members = [tuple(parcel for parcel, own in enumerate(class_of) if own == n) for n in range(len(pools))]
    classes = tuple(SlotClass(size, n, own) for (size, _), n, own in zip(pools, slots, members, strict=True))
    made = DevicePlan(other_bytes, tuple(parcel_bytes), classes, tuple(class_of), 0)
    return made if made.complete else _with_home(made, sum(sizes), pinned_memory)


def _with_home(made: DevicePlan, home: int, pinned_memory: int) -> DevicePlan:
    if home > pinned_memory:
        whole = made.other_bytes + sum(own.slot_bytes * len(own.parcels) for own in made.classes)
        raise BudgetError(
            f"experts that the device does not hold need {amount(home)} of pinned memory; {amount(pinned_memory)} may "
            f"be taken: give more of the machine's memory, or {amount(whole)} of the device's, which hold everything"
        )
    return DevicePlan(made.other_bytes, made.parcel_bytes, made.classes, made.class_of, home)


def check_device(budget: int, device_bytes: int) -> int:
    """The budget, where the device has so much (0: how much it has is not known). Raises BudgetError."""
    if 0 < device_bytes < budget:
        raise BudgetError(
            f"a budget of {amount(budget)} of a device that has {amount(device_bytes)}: give a smaller one"
        )
    return budget


def pinnable_bytes(budget: int | None, machine_bytes: int, beside_bytes: int = 0) -> int:
    """What weights may be pinned in: of the budget, the machine and its group's limit, whichever is least, all but what
    this process holds and will, uploads with it, and `beside_bytes` of others."""
    most = min(machine_bytes, cgroup_limit() or machine_bytes, budget or machine_bytes)
    return max(0, most - beside_bytes - process_bytes(os.getpid()) - ALLOWANCE - UPLOAD_BYTES)
