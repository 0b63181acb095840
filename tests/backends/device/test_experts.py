"""Which experts of a real program a device's budget holds: sizes are those of planes, and what has none is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from ostinato.backends.contract import CompileError
from ostinato.backends.device.budget import Budget, make_budget
from ostinato.backends.device.experts import DeviceExperts, plan_experts
from ostinato.backends.device.lower import lower
from ostinato.backends.device.planes import device_bytes
from ostinato.engine.loading import Opened, Options, open_model
from ostinato.memory.budget import BudgetError
from ostinato.memory.parcels import expert_parcels, expert_stacks
from ostinato.model.weights import resolve
from tests.support import BUILTIN

AMPLE = 1 << 40


@pytest.fixture(scope="module")
def opened() -> Iterator[Opened]:
    opened = open_model(BUILTIN, Options(backend="null", context=64, max_sequences=2))
    with opened.file:
        yield opened


@pytest.fixture(scope="module")
def budget(opened: Opened) -> Budget:
    tensors = opened.file.tensors
    lowered = [lower(program, tensors, opened.plan) for program in opened.programs]
    return make_budget(opened.programs, lowered, tensors, opened.plan, 1)


def planned(opened: Opened, budget: Budget, memory: int | None, available: int = AMPLE) -> DeviceExperts | None:
    plan = replace(opened.plan, device_memory=memory, pinned_memory=AMPLE)
    return plan_experts("cuda", opened.programs, opened.file.tensors, budget, plan, available)


def test_stacks_are_those_of_the_file(opened: Opened) -> None:
    assert expert_stacks(opened.programs, opened.file.tensors) == expert_parcels(opened.programs, opened.file).stacks


def test_without_a_budget_or_with_an_ample_one_all_is_resident(opened: Opened, budget: Budget) -> None:
    assert planned(opened, budget, None) is None
    assert planned(opened, budget, AMPLE) is None


def test_parcels_are_as_large_as_their_planes(opened: Opened, budget: Budget) -> None:
    made = planned(opened, budget, budget.total // 2)
    assert made is not None
    for stack, parts in zip(made.stacks, made.parts, strict=True):
        whole = [device_bytes(resolve(w, opened.file.tensors)) for w in stack.weights if w is not None]
        assert [stack.count * part for part in parts] == whole
        assert made.plan.parcel_bytes[stack.first : stack.first + stack.count] == (sum(parts),) * stack.count
    assert made.plan.nbytes <= budget.total // 2
    assert made.plan.other_bytes == budget.total - made.plan.pinned_bytes, "sizes here are whole slots"


def test_free_memory_bounds_the_budget(opened: Opened, budget: Budget) -> None:
    by_budget, by_card = planned(opened, budget, budget.total // 2), planned(opened, budget, AMPLE, budget.total // 2)
    assert by_budget == by_card


def test_too_small_for_what_is_no_expert(opened: Opened, budget: Budget) -> None:
    with pytest.raises(BudgetError, match="must have there"):
        planned(opened, budget, 1 << 16)


def test_a_model_without_experts_is_all_or_nothing(opened: Opened, budget: Budget) -> None:
    dense = [
        replace(program, instructions=tuple(i for i in program.instructions if i.op != "experts"))
        for program in opened.programs
    ]
    with_programs = replace(opened, programs=replace(opened.programs, prefill=dense[0], decode=dense[-1]))
    assert planned(with_programs, budget, budget.total) is None
    with pytest.raises(CompileError, match="has no experts that could be read across the bus"):
        planned(with_programs, budget, budget.total - 1)
