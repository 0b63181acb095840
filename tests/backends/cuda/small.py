"""Small programs on the host machine: rows of a table of float32 through a few ops, in any company."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ostinato.backends.batch import Batch, Enter, Span
from ostinato.backends.batch_table import Kind
from ostinato.backends.contract import Plan
from ostinato.backends.sampling import Sampling
from ostinato.gguf.types_table import TensorType
from ostinato.model.weights import Tensor
from ostinato.program.builder import Builder
from ostinato.program.ir import Programs
from ostinato.program.ops_table import Axis
from ostinato.program.verify import verify
from tests.backends.cases import MemoryTensor, Weights
from tests.backends.cuda.host import HostMachine
from tests.gguf.blocks import random_blocks

Floats = NDArray[np.float32]
GRIDS = ((1, 1), (3, 2), (2, 8), (5, 3))  # blocks, warps of a block


class Small:
    """`build(builder, weights, x)` appends ops to x, the rows of `table` [rows, width]: token t is row t.

    `context`: positions that a sequence may have. Other limits are just enough for every row of the table at once.
    """

    def __init__(
        self, table: Floats, build: Callable[[Builder, Weights, str], str], context: int = 0, seed: int = 1
    ) -> None:
        rows = len(table)
        weights = Weights(seed)
        builder = Builder(weights.tensors)
        x = builder.add("embed", weights=(weights.put("table", table),))
        out = build(builder, weights, x)
        if builder.axis(out) is Axis.T:
            out = builder.add("select", out)
        program = builder.program("small", {"logits": out}, builder.width(out))
        verify(program, weights.tensors)
        plan = Plan(max_rows=rows, max_logit_rows=rows, max_sequences=2, context=max(context, rows), blocks=1)
        self.machine = HostMachine(Programs(program, program), weights.tensors, plan)

    def run(
        self,
        prompt: Sequence[int] = (),
        generated: Sequence[int] = (),
        *,
        start: int = 0,
        grid: tuple[int, int] = (4, 3),
    ) -> Floats:
        """float32 [rows, width out]: prompt rows, then generated rows, each kind one sequence from `start` on."""
        self.machine.blocks, self.machine.warps = grid
        batch = self.batch(prompt, generated, start)
        self.machine.step(batch)
        return self.machine.logits(batch).copy()

    def batch(self, prompt: Sequence[int] = (), generated: Sequence[int] = (), start: int = 0) -> Batch:
        tokens = {Kind.PROMPT: prompt, Kind.GENERATED: generated}
        spans = [Span(kind, kind, start, rows, logit_rows=len(rows)) for kind, rows in tokens.items() if len(rows)]
        return Batch(spans, [Enter(slot, 0, Sampling()) for slot in range(2)])

    def call(self, phase: str) -> int:
        """Number of the first call of a phase."""
        return next(number for number, call in enumerate(self.machine.calls) if call.phase == phase)


def raw(weights: Weights, name: str, kind: TensorType, shape: tuple[int, ...], random: np.random.Generator) -> Tensor:
    """Blocks of any codes, but scales of ordinary size; ordinary floats."""
    blocks = random_blocks(kind, math.prod(shape) // kind.block_elements, random)
    weights.tensors[name] = MemoryTensor(name, kind, shape, blocks.reshape(-1))
    return Tensor(name)
