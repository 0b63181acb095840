"""A budget of a device's memory: how many experts lie in its slots, and what of the machine's is pinned for all."""

from __future__ import annotations

import os

from ostinato.memory.budget import BudgetError, amount
from ostinato.memory.machine import cgroup_limit, process_bytes
from ostinato.memory.residency import ALLOWANCE


def check_device(budget: int, device_bytes: int) -> int:
    """The budget, where the device has so much (0: how much it has is not known). Raises BudgetError."""
    if 0 < device_bytes < budget:
        raise BudgetError(
            f"a budget of {amount(budget)} of a device that has {amount(device_bytes)}: give a smaller one"
        )
    return budget


def pinnable_bytes(budget: int | None, machine_bytes: int, beside_bytes: int = 0) -> int:
    """What weights may be pinned in: of the budget, the machine and its group's limit, whichever is least, all but what
    this process holds and will, and `beside_bytes` of others."""
    most = min(machine_bytes, cgroup_limit() or machine_bytes, budget or machine_bytes)
    return max(0, most - beside_bytes - process_bytes(os.getpid()) - ALLOWANCE)
