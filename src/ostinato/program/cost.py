"""What a program costs: operations and bytes of an instruction, from the table's rules."""

from __future__ import annotations

from collections.abc import Mapping

from ostinato.model.weights import StoredTensor
from ostinato.program.ir import Instruction, Program
from ostinato.program.ops_table import Cost, Load
from ostinato.program.verify import operands_of


def cost_of(instruction: Instruction, program: Program, tensors: Mapping[str, StoredTensor], load: Load) -> Cost:
    """Cost of one instruction in a step of the given size."""
    return instruction.spec.cost(operands_of(instruction, program.values, tensors), load)
