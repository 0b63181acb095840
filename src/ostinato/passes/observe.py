"""Programs that also say which experts they chose, and which they would have foreseen: routers' ids as named outputs.

Numbers stay. What is asked for comes with the logits (`Batch.want_logits`), int32 [T, top_k]: for every stack of
experts those that were chosen, and, where something before it looks at the residual, those that its router would have
chosen there (passes/foresee.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ostinato.model.weights import StoredTensor
from ostinato.passes.foresee import foresee
from ostinato.program.ir import Instruction, Program, Programs


def chosen_name(instruction: Instruction) -> str:
    """The output of the ids that an `experts` instruction's rows were sent to: the same in every program that has the
    stack."""
    return "experts " + " ".join(map(str, instruction.weights[:3]))


def foreseen_name(instruction: Instruction) -> str:
    """The output of those that were foreseen for it, or for what a `foresee` names."""
    return "foreseen " + chosen_name(instruction)


def observe(programs: Programs, tensors: Mapping[str, StoredTensor]) -> Programs:
    """Every program of a model with outputs for each of its stacks of experts."""
    return programs.rewritten(lambda program: _observed(program, tensors))


def expert_instructions(programs: Programs) -> list[Instruction]:
    """One `experts` instruction for every stack, in the order of the layers."""
    found = [i for program in programs for i in program.instructions if i.op == "experts"]
    return list({chosen_name(i): i for i in found}.values())


def _observed(program: Program, tensors: Mapping[str, StoredTensor]) -> Program:
    hinted, _ = foresee(program, tensors, lambda instruction: True)
    ids = {i.outputs[0]: str(i.inputs[0]) for i in program.instructions if i.op == "group"}
    chosen = {chosen_name(i): ids[str(i.inputs[1])] for i in program.instructions if i.op == "experts"}
    foreseen = {foreseen_name(i): str(i.inputs[0]) for i in hinted.instructions if i.op == "foresee"}
    instructions = tuple(i for i in hinted.instructions if i.op != "foresee")  # nothing is to be read for them
    return replace(hinted, instructions=instructions, outputs={**program.outputs, **chosen, **foreseen})
