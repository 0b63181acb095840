"""The reference backend: programs interpreted by the definitions in ops.py, one instruction after the other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ostinato.backends.batch import Batch
from ostinato.backends.batch_table import MAX_TOP_LOGPROBS
from ostinato.backends.contract import (
    CompileError,
    Plan,
    Probe,
    StepResult,
    refuse_device_budget,
    refuse_streaming,
)
from ostinato.backends.immediate import ImmediateExecutable
from ostinato.backends.pools import make_pool
from ostinato.backends.reference.ops import MEANING, Step
from ostinato.backends.reference.paged import make_views
from ostinato.backends.reference.recurrent import Recurrent
from ostinato.backends.vocabulary import check_positions
from ostinato.gguf.blocks import BlockFormatError, dequantize
from ostinato.model.weights import StoredTensor, WeightExpr, WeightView, resolve
from ostinato.program.ir import Instruction, Program, Programs


class ReferenceBackend:
    """NumPy float32. Slow; there to define and to compare."""

    name = "reference"

    def probe(self) -> Probe:
        return Probe(self.name, True, "NumPy float32", {"use": "definition of every op; slow"})

    def compile(self, programs: Programs, tensors: Mapping[str, StoredTensor], plan: Plan) -> ReferenceExecutable:
        refuse_streaming(self.name, plan)
        refuse_device_budget(self.name, plan)
        return ReferenceExecutable(programs, tensors, plan)


class ReferenceExecutable(ImmediateExecutable):
    """Holds every weight dequantised to float32."""

    def __init__(self, programs: Programs, tensors: Mapping[str, StoredTensor], plan: Plan) -> None:
        check_positions(programs, tensors, plan.context)
        self._weights: dict[WeightExpr, np.ndarray] = {}
        for program in programs:
            for instruction in program.instructions:
                self._load(instruction, tensors)
        super().__init__(programs, plan, [make_pool(group, plan) for group in programs.caches])
        self._caches = [make_views(pool, group, plan) for pool, group in zip(self._pools, programs.caches, strict=True)]
        self._recurrent = Recurrent(programs.states, plan.max_sequences)
        self.trace: dict[str, np.ndarray] = {}  # every value of the last step, for comparisons

    def close(self) -> None:
        self._weights.clear()

    def _step(self, batch: Batch) -> StepResult:
        if self._programs.states:
            self._state.check_continues(batch)
        program = self._programs.prefill if batch.prompt_rows else self._programs.decode
        step = Step(batch, self._state.apply(batch), self._state, self._caches, self._recurrent, self._plan, [])
        self.trace = self._interpret(program, step) if batch.rows else {}
        self._state.finish(batch)
        wanted = batch.rows and batch.want_logits
        outputs = {name: self.trace[value] for name, value in program.outputs.items()} if wanted else {}
        return step_result(step.sampled, outputs)

    def _interpret(self, program: Program, step: Step) -> dict[str, np.ndarray]:
        values: dict[str, np.ndarray] = {}
        for instruction in program.instructions:
            inputs = [None if name is None else values[name] for name in instruction.inputs]
            weights = [None if w is None else self._weights[w] for w in instruction.weights]
            made = MEANING[instruction.op](step, *inputs, *weights, **instruction.fields)
            made = () if made is None else made if isinstance(made, tuple) else (made,)
            values.update(zip(instruction.outputs, made, strict=True))
        return values

    def _load(self, instruction: Instruction, tensors: Mapping[str, StoredTensor]) -> None:
        if instruction.op not in MEANING:
            raise CompileError(f"reference: op {instruction.op!r} has no definition")
        for expr in instruction.weights:
            if expr is not None and expr not in self._weights:
                self._weights[expr] = _load_weight(expr, tensors)


def _load_weight(expr: WeightExpr, tensors: Mapping[str, StoredTensor]) -> np.ndarray:
    try:
        return dequantized(resolve(expr, tensors))
    except BlockFormatError as error:
        raise CompileError(f"reference: weight {expr}: {error}") from error


def dequantized(view: WeightView) -> np.ndarray:
    """The whole weight in float32, shaped as view.dims."""
    rows = []
    for piece in view.pieces:
        raw = np.lib.stride_tricks.as_strided(
            piece.data[piece.offset :], (piece.count, view.row_bytes), (piece.stride, 1), writeable=False
        )
        rows.append(dequantize(np.ascontiguousarray(raw).reshape(-1), view.type, (piece.count, view.dims[-1])))
    return np.concatenate(rows).reshape(view.dims)


def step_result(
    sampled: list[tuple[int, int, float, np.ndarray, np.ndarray]], outputs: Mapping[str, np.ndarray]
) -> StepResult:
    """StepResult of spans that each drew one token."""
    count = len(sampled)
    top_ids = np.full((count, 1, MAX_TOP_LOGPROBS), -1, dtype=np.int32)
    top_logprobs = np.full((count, 1, MAX_TOP_LOGPROBS), np.nan, dtype=np.float32)
    for row, (_, _, _, ids, logprobs) in enumerate(sampled):
        top_ids[row, 0, : len(ids)], top_logprobs[row, 0, : len(ids)] = ids, logprobs
    return StepResult(
        slots=np.array([s[0] for s in sampled], dtype=np.int32),
        tokens=np.array([s[1] for s in sampled], dtype=np.int32).reshape(-1, 1),
        counts=np.array([s[1] >= 0 for s in sampled], dtype=np.int32),
        logprobs=np.array([s[2] for s in sampled], dtype=np.float32).reshape(-1, 1),
        top_ids=top_ids,
        top_logprobs=top_logprobs,
        outputs=outputs,
        failed=np.array([s[1] < 0 for s in sampled], dtype=bool),
    )
