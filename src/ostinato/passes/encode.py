"""The wire form of a program: int32 words, as tools/emit.py describes them to C++ and the browser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ostinato.model.weights import WeightExpr
from ostinato.passes.buffers import BufferPlan
from ostinato.program.ir import Instruction, Program
from ostinato.program.ops_table import OPCODE, FieldKind

if TYPE_CHECKING:
    import numpy as np

ABSENT = -1


@dataclass(frozen=True)
class EncodedProgram:
    """Words of all instructions, and the tables their operands index.

    instructions  int32 [words]: per instruction opcode, layer, outputs, inputs, weights, fields
    values        int64 [n, 5]: dtype, axis, factor, width, offset in the arena in bytes
    weights       the expressions, for the backend to resolve
    """

    instructions: np.ndarray
    values: np.ndarray
    weights: tuple[WeightExpr, ...]
    outputs: dict[str, int]
    arena_bytes: int


def encode(program: Program, buffers: BufferPlan) -> EncodedProgram:
    """Encodes a verified program."""
    import numpy as np

    numbers = {name: i for i, name in enumerate(program.values)}
    weights: dict[WeightExpr, int] = {}
    words: list[int] = []
    for instruction in program.instructions:
        words += [OPCODE[instruction.op], instruction.layer]
        words += [ABSENT if name is None else numbers[name] for name in (*instruction.outputs, *instruction.inputs)]
        words += [ABSENT if w is None else weights.setdefault(w, len(weights)) for w in instruction.weights]
        words += _fields(instruction)
    values = [
        (shape.dtype, shape.axis, shape.factor, shape.width, buffers.offsets[name])
        for name, shape in program.values.items()
    ]
    return EncodedProgram(
        instructions=np.array(words, dtype=np.int32),
        values=np.array(values, dtype=np.int64).reshape(-1, 5),
        weights=tuple(weights),
        outputs={name: numbers[value] for name, value in program.outputs.items()},
        arena_bytes=buffers.arena_bytes,
    )


def _fields(instruction: Instruction) -> list[int]:
    import numpy as np

    out = []
    for field in instruction.spec.fields:
        value = instruction.fields[field.name]
        out.append(int(np.float32(value).view(np.int32)) if field.kind is FieldKind.FLOAT else int(value))
    return out
