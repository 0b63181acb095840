"""Programs that also say which experts they chose: the ids of every router as named outputs.

Numbers stay. What is asked for comes with the logits (`Batch.want_logits`), int32 [T, top_k] under `output_name`.
"""

from __future__ import annotations

from dataclasses import replace

from ostinato.program.ir import Instruction, Program, Programs


def output_name(instruction: Instruction) -> str:
    """Of the ids that an `experts` instruction's rows were sent to: the same in every program that has the stack."""
    return "experts " + " ".join(str(weight) for weight in instruction.weights[:3])


def observe(programs: Programs) -> Programs:
    """Every program of a model with an output for each of its stacks of experts."""
    prefill = _observed(programs.prefill)
    return Programs(prefill, prefill if programs.decode is programs.prefill else _observed(programs.decode))


def expert_instructions(programs: Programs) -> list[Instruction]:
    """One `experts` instruction for every stack, in the order of the layers."""
    found = [i for program in programs for i in program.instructions if i.op == "experts"]
    return list({output_name(i): i for i in found}.values())


def _observed(program: Program) -> Program:
    ids = {i.outputs[0]: str(i.inputs[0]) for i in program.instructions if i.op == "group"}
    chosen = {output_name(i): ids[str(i.inputs[1])] for i in program.instructions if i.op == "experts"}
    return replace(program, outputs={**program.outputs, **chosen})
