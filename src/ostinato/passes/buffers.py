"""The buffer plan: one arena for all values of a program, each at a fixed offset.

Values that are never alive together share bytes. Sizes are those of the largest step the plan allows, so offsets
do not move with the batch (CUDA graphs and the persistent loop need that).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ostinato.program.ir import Program
from ostinato.program.ops_table import Axis

ALIGNMENT = 64  # bytes: a cache line, and a full AVX-512 vector


@dataclass(frozen=True)
class BufferPlan:
    """Offset in bytes of each value, and the arena's size."""

    offsets: Mapping[str, int]
    arena_bytes: int


def plan_buffers(program: Program, max_rows: int, max_logit_rows: int) -> BufferPlan:
    """First-fit over the values' lifetimes. All elements are 4 bytes. Named outputs live to the end."""
    sizes = {Axis.FIXED: 1, Axis.T: max_rows, Axis.R: max_logit_rows}
    last_use = _last_uses(program)
    offsets: dict[str, int] = {}
    alive: dict[str, tuple[int, int]] = {}  # name -> [start, stop)
    arena = 0
    for number, instruction in enumerate(program.instructions):
        for name in instruction.outputs:
            shape = program.values[name]
            need = -(-4 * shape.rows(sizes) * shape.width // ALIGNMENT) * ALIGNMENT
            start = _first_fit(sorted(alive.values()), need)
            offsets[name], alive[name] = start, (start, start + need)
            arena = max(arena, start + need)
        for name in [name for name in alive if last_use.get(name, number) <= number]:
            del alive[name]
    return BufferPlan(offsets, arena)


def _last_uses(program: Program) -> dict[str, int]:
    """Number of the last instruction that reads each value; the end, for named outputs."""
    last: dict[str, int] = {}
    for number, instruction in enumerate(program.instructions):
        last.update({name: number for name in instruction.inputs if name is not None})
    end = len(program.instructions)
    return last | dict.fromkeys(program.outputs.values(), end)


def _first_fit(taken: list[tuple[int, int]], need: int) -> int:
    start = 0
    for low, high in taken:
        if start + need <= low:
            break
        start = max(start, high)
    return start
