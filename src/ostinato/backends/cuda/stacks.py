"""Stacks of experts: which weights they are, and the table that tells kernels where each expert's planes lie.

An expert of one layer is a parcel: gate, up and down, which move together. The table has three addresses for each
(kernels/experts.h); a weight's entry in the table of weights is where the first of its experts stands there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from ostinato.backends.cuda.machine import EXPERT_OPERANDS
from ostinato.backends.device.lower import Call, Lowered
from ostinato.backends.device.planes import row_bytes
from ostinato.gguf.types_table import TensorType
from ostinato.model.weights import StoredTensor, WeightExpr, resolve

ADDRESS = np.dtype(np.uint64)


@dataclass(frozen=True)
class Stack:
    """The experts of one layer: gate, up, down. Expert e has row `first + e` of the table, and that counter of uses
    (lower.py numbers them). `sizes`: bytes of each operand's planes, of one expert."""

    weights: tuple[WeightExpr, ...]
    first: int
    experts: int
    sizes: tuple[int, ...]

    @property
    def parcel_bytes(self) -> int:
        """Of one expert with all its operands: whole rows, which are multiples of planes.ALIGNMENT."""
        return sum(self.sizes)

    @property
    def offsets(self) -> tuple[int, ...]:
        """Where each operand begins in a parcel."""
        return tuple(sum(self.sizes[:operand]) for operand in range(len(self.sizes)))

    @property
    def rows(self) -> range:
        """Of the table."""
        return range(self.first, self.first + self.experts)


def find_stacks(lowered: Sequence[Lowered], tensors: Mapping[str, StoredTensor]) -> tuple[Stack, ...]:
    """In the order of their rows. Programs share the experts of a layer, and so do layers with the same weights."""
    stacks: dict[tuple[WeightExpr, ...], Stack] = {}
    for low in lowered:
        for first, weights in _layers(low.calls):
            stacks.setdefault(weights, _stack(weights, first, tensors))
    return tuple(sorted(stacks.values(), key=lambda stack: stack.first))


def expert_count(lowered: Sequence[Lowered]) -> int:
    """Rows of the table, and counters of uses that kernels write."""
    groups = (call.words for low in lowered for call in low.calls if call.phase == "group")
    return max((int(words["uses"] + words["experts"]) for words in groups), default=0)


def weight_entries(stacks: Sequence[Stack], table: int) -> dict[WeightExpr, int]:
    """What the table of weights has for each weight of a stack, if the experts' table lies at `table`."""
    return {
        weight: table + ADDRESS.itemsize * (EXPERT_OPERANDS * stack.first + operand)
        for stack in stacks
        for operand, weight in enumerate(stack.weights)
    }


def resident_table(stacks: Sequence[Stack], count: int, place: Mapping[WeightExpr, int]) -> np.ndarray:
    """uint64 [count, EXPERT_OPERANDS]: experts one after the other from their weight's address on."""
    table = np.zeros((count, EXPERT_OPERANDS), ADDRESS)
    for stack in stacks:
        for operand, (weight, size) in enumerate(zip(stack.weights, stack.sizes, strict=True)):
            table[stack.rows, operand] = place[weight] + size * np.arange(stack.experts, dtype=ADDRESS)
    return table


def _layers(calls: Sequence[Call]) -> list[tuple[int, tuple[WeightExpr, ...]]]:
    """Row of the first expert, and the weights, of each `experts` instruction, or of each slice of it: all three
    weights of a layer are sliced alike."""
    counted: dict[int | float, int] = {}  # by the place of the order that `group` made
    inside: dict[tuple[int, int], tuple[WeightExpr, ...]] = {}  # by instruction and first row
    found = []
    for call in calls:
        weights = tuple(weight for weight in call.weights if weight is not None)
        if call.phase == "group":
            counted[call.words["order"]] = int(call.words["uses"])
        elif call.phase in ("experts_in", "experts_out"):
            row = counted[call.words["order"]] + int(call.words["first"])
            if call.phase == "experts_in":
                inside[call.instruction, row] = weights
            else:
                found.append((row, inside.pop((call.instruction, row)) + weights))
    assert not inside, "gate, up and down in different slices"
    return found


def _stack(weights: tuple[WeightExpr, ...], first: int, tensors: Mapping[str, StoredTensor]) -> Stack:
    views = [resolve(weight, tensors) for weight in weights]
    sizes = tuple(row_bytes(TensorType(view.type), view.dims[-1]) * prod(view.dims[1:-1]) for view in views)
    return Stack(weights, first, views[0].dims[0], sizes)
