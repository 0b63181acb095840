"""Fusion: `linear` takes the `add` that follows it, two `linear`s and their `glu` become one `gated`.

For backends that run the fused forms (the CPU): fewer barriers, and products that are never written to memory and
read again. Numbers stay: a fused instruction does the same operations in the same order.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from ostinato.program.ir import Instruction, Program


def fuse(program: Program) -> Program:
    """The same program with fused instructions, to be verified like any other. Named outputs stay values."""
    draft = _Draft(program)
    for instruction in program.instructions:
        draft.append(draft.fused(instruction))
    instructions = tuple(draft.instructions.values())
    kept = {name for i in instructions for name in i.outputs}
    return replace(
        program,
        instructions=instructions,
        values={name: shape for name, shape in program.values.items() if name in kept},
    )


class _Draft:
    """Instructions so far, by number. What is fused into a later one is taken out."""

    def __init__(self, program: Program) -> None:
        self.instructions: dict[int, Instruction] = {}
        self._values = program.values
        self._uses = Counter(name for i in program.instructions for name in i.inputs)
        self._uses.update(program.outputs.values())
        self._linears: dict[str, int] = {}  # by what they make
        self._next = 0

    def append(self, instruction: Instruction) -> None:
        self.instructions[self._next] = instruction
        if instruction.op == "linear":
            self._linears[instruction.outputs[0]] = self._next
        self._next += 1

    def fused(self, instruction: Instruction) -> Instruction:
        match instruction.op:
            case "add" if instruction.fields["scale"] == 1.0:
                return self._with_residual(instruction)
            case "glu":
                return self._gated(instruction)
            case _:
                return instruction

    def _with_residual(self, add: Instruction) -> Instruction:
        a, b = add.inputs
        for product, other in ((b, a), (a, b)):
            linear = self._product(product)
            if linear is not None:
                self._take(linear)
                return replace(linear, outputs=add.outputs, inputs=(linear.inputs[0], other), layer=add.layer)
        return add

    def _gated(self, glu: Instruction) -> Instruction:
        gate, up = (self._product(name) for name in glu.inputs)
        if gate is None or up is None or gate.inputs != up.inputs:
            return glu
        if self._values[gate.outputs[0]] != self._values[up.outputs[0]]:
            return glu  # one gate serves the row
        self._take(gate)
        self._take(up)
        weights = (gate.weights[0], up.weights[0], gate.weights[1], up.weights[1])
        return Instruction("gated", glu.outputs, gate.inputs[:1], weights, glu.fields, glu.layer)

    def _product(self, name: str | None) -> Instruction | None:
        """The plain `linear` that makes a value, if that value has one reader."""
        if name not in self._linears or self._uses[name] != 1:
            return None
        linear = self.instructions[self._linears[name]]
        return linear if linear.inputs[1] is None else None

    def _take(self, linear: Instruction) -> None:
        del self.instructions[self._linears.pop(linear.outputs[0])]
