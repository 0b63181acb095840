"""Experts in a budget of a device's memory: how large each is as the device reads it, and what has a slot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, repeat

from ostinato.backends.contract import CompileError, Plan
from ostinato.backends.device.budget import Budget, size_text
from ostinato.backends.device.planes import device_bytes
from ostinato.memory.device import DevicePlan, plan_device
from ostinato.memory.parcels import ExpertStack, expert_stacks
from ostinato.model.weights import StoredTensor, resolve
from ostinato.program.ir import Programs


@dataclass(frozen=True)
class DeviceExperts:
    """Stacks whose experts are parcels, and the slots for them. parts[stack]: bytes of one expert's matrix of every
    operand that is there, in planes; a parcel is these one behind the other."""

    stacks: tuple[ExpertStack, ...]
    parts: tuple[tuple[int, ...], ...]
    plan: DevicePlan


def plan_experts(
    backend: str, programs: Programs, tensors: Mapping[str, StoredTensor], budget: Budget, plan: Plan, available: int
) -> DeviceExperts | None:
    """None where all is resident: without a budget, or with one that holds everything. `budget` is of everything
    resident, `available` bytes are free. Raises BudgetError, CompileError for a model without experts."""
    if plan.device_memory is None:
        return None
    stacks = expert_stacks(programs, tensors)
    most = min(available, plan.device_memory)
    if not stacks and budget.total > most:
        raise CompileError(
            f"{backend}: {size_text(most)} of the device's memory do not hold this model, which needs "
            f"{size_text(budget.total)}: it has no experts that could be read across the bus"
        )
    parts = tuple(_parts(stack, tensors) for stack in stacks)
    sizes = list(chain.from_iterable(repeat(sum(own), stack.count) for stack, own in zip(stacks, parts, strict=True)))
    other = budget.total - sum(sizes)
    made = plan_device(sizes, other_bytes=other, device_memory=most, pinned_memory=plan.pinned_memory)
    return None if made.complete else DeviceExperts(stacks, parts, made)


def _parts(stack: ExpertStack, tensors: Mapping[str, StoredTensor]) -> tuple[int, ...]:
    weights = [weight for weight in stack.weights if weight is not None]
    return tuple(device_bytes(resolve(weight, tensors)) // stack.count for weight in weights)
