"""A compiled model on the CPU: what the C++ executor is built from, and the contract's four calls on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from ostinato.backends.batch import Batch
from ostinato.backends.contract import (
    BatchError,
    CompileError,
    Plan,
    StateAction,
    StepResult,
    check_batch,
)
from ostinato.backends.cpu.streaming import RESIDENT, Copy, Place, copies_of, streamed, with_fetches, with_hints
from ostinato.backends.device.state_table import NO_NUMBER
from ostinato.backends.pools import give_back, make_pool, move_blocks
from ostinato.backends.profile import Roofs, Times
from ostinato.backends.runs import MAX_STEPS
from ostinato.backends.vocabulary import check_positions, embeddable
from ostinato.model.weights import StoredTensor, WeightExpr, WeightView, resolve
from ostinato.passes.buffers import plan_buffers
from ostinato.passes.encode import ABSENT, encode
from ostinato.passes.fuse import fuse
from ostinato.program.ir import CacheGroup, Program, Programs
from ostinato.program.ops_table import DType
from ostinato.program.verify import verify

if TYPE_CHECKING:
    from ostinato import _cpu
    from ostinato.memory.residency import WeightStore

ROOF_PASSES = 3  # over 256 MiB, in each of several ways


class CpuExecutable:
    """Steps on the executor's threads. Weights are read where the tensors' data lies, which is kept alive."""

    max_steps = MAX_STEPS
    keeps_state = True

    def __init__(self, programs: Programs, tensors: Mapping[str, StoredTensor], plan: Plan) -> None:
        self._plan, self._vocab = plan, programs.vocab_size
        self._outputs = output_names(programs)
        self._pools = [make_pool(group, plan).reshape(-1) for group in programs.caches]
        self._parts = [_by_block(*each, plan) for each in zip(self._pools, programs.caches, strict=True)]
        with ExitStack() as undo:
            hinted, self.store = _with_store(programs.rewritten(fuse), tensors, plan, self._pools)
            if self.store is not None:
                undo.callback(self.store.close)
            self._programs = hinted if self.store is None else with_fetches(hinted, self.store)
            self._executor = _build(self._programs, tensors, plan, self._pools, self.store)
            undo.pop_all()

    def submit(self, batch: Batch) -> None:
        check_batch(batch, self._plan, self._vocab, MAX_STEPS)
        try:
            self._executor.submit(batch.encode())
        except ValueError as error:
            raise BatchError(str(error)) from error

    def collect(self) -> StepResult:
        slots, tokens, logprobs, top_ids, top_logprobs, outputs, faults, more = self._executor.collect()
        return StepResult(
            slots=slots,
            tokens=tokens.T,
            counts=(tokens >= 0).sum(axis=0, dtype=np.int32),
            logprobs=logprobs.T,
            top_ids=top_ids.swapaxes(0, 1),
            top_logprobs=top_logprobs.swapaxes(0, 1),
            outputs={name: self._typed(name, a) for name, a in zip(self._outputs, outputs, strict=False) if len(a)},
            failed=(tokens == NO_NUMBER).any(axis=0),
            more=more,
            faults=faults,
        )

    def state(
        self,
        action: StateAction,
        cache: int,
        blocks: Sequence[int],
        *,
        to: Sequence[int] = (),
        data: bytes = b"",
    ) -> bytes:
        keys, values = self._parts[cache]
        if action is StateAction.DROP:
            give_back(keys, blocks)
            give_back(values, blocks)
            return b""
        cut = len(blocks) * keys[0].size
        moved = move_blocks(keys, action, blocks, to, data[:cut])
        return moved + move_blocks(values, action, blocks, to, data[cut:])

    def _typed(self, name: str, made: np.ndarray) -> np.ndarray:
        """A named output, whose words come as float32, as what it is."""
        program = next(program for program in self._programs if name in program.outputs)
        return made.view(np.int32) if program.values[program.outputs[name]].dtype is DType.I32 else made

    def close(self) -> None:
        self._executor.close()
        if self.store is not None:
            self.store.close()

    def start_profile(self) -> None:
        self._executor.start_profile()

    def profile(self) -> list[Times]:
        programs = {"prefill": self._programs.prefill, "decode": self._programs.decode}
        return [
            Times(kind, program, steps, rows, logit_rows, 1e-9 * total, 1e-9 * nanoseconds)
            for (kind, program), (steps, rows, logit_rows, total, nanoseconds) in zip(
                programs.items(), self._executor.profile(), strict=True
            )
        ]

    def roofs(self) -> Roofs:
        from ostinato import _cpu

        threads = self._plan.threads or _cpu.usable_cores()
        return Roofs(_cpu.read_bandwidth(threads, ROOF_PASSES), *_cpu.peak_rates(threads))


def _with_store(
    programs: Programs, tensors: Mapping[str, StoredTensor], plan: Plan, pools: Sequence[np.ndarray]
) -> tuple[Programs, WeightStore | None]:
    """The programs that say what will be wanted, and a store with slots for what the executor leaves of the budget, or
    None where everything fits. Raises BudgetError."""
    if plan.residency is None:
        return programs, None
    hinted, unforeseen = with_hints(programs, tensors, plan.residency)
    builder = _described(hinted, tensors, plan, pools, {}, copies_of(plan.residency.parcels))
    store = plan.residency.open(builder.working_bytes(plan.threads))
    return (programs, None) if store is None else (hinted, replace(store, unforeseen=unforeseen))


def _build(
    programs: Programs, tensors: Mapping[str, StoredTensor], plan: Plan, pools: Sequence[np.ndarray],
    store: WeightStore | None,
) -> _cpu.Executor:  # fmt: skip
    """Raises CompileError, also where there is no memory for its steps."""
    try:
        if store is None:
            return _described(programs, tensors, plan, pools, {}, {}).build(plan.threads)
        builder = _described(programs, tensors, plan, pools, streamed(store.parcels), copies_of(store.parcels))
        return builder.build(plan.threads, store.native, store.miss_rule)
    except MemoryError:
        raise CompileError(
            f"cpu: no memory for steps of {plan.max_rows} rows with a vocabulary of {programs.vocab_size} and a "
            f"context of {plan.context}; ask for a smaller context"
        ) from None


def _described(
    programs: Programs, tensors: Mapping[str, StoredTensor], plan: Plan, pools: Sequence[np.ndarray],
    streamed: Mapping[WeightExpr | None, Place], copies: Mapping[WeightExpr | None, Copy],
) -> _cpu.Builder:  # fmt: skip
    from ostinato import _cpu

    try:
        builder = _cpu.Builder(
            plan.max_rows, plan.max_logit_rows, plan.max_sequences, plan.context, plan.blocks, plan.block_size,
            programs.vocab_size, embeddable(programs, tensors), MAX_STEPS,
        )  # fmt: skip
    except ValueError as error:
        raise CompileError(f"cpu: {error}") from error
    check_positions(programs, tensors, plan.context)
    kv_type = plan.kv_type.tensor_type
    for group, pool in zip(programs.caches, pools, strict=True):
        builder.add_cache(group.layers, group.kv_heads, group.key_dim, group.value_dim, kv_type, pool)
    for states in programs.states:
        builder.add_state(states.layers, states.elements)
    for program in programs:
        _add_program(builder, program, tensors, plan, output_names(programs), streamed, copies)
    return builder


def _by_block(pool: np.ndarray, group: CacheGroup, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """Keys and values, uint8 [blocks, layers x heads, bytes]: in memory both are [layers x heads, blocks, bytes]."""
    heads = group.layers * group.kv_heads
    cut = heads * plan.blocks * plan.kv_type.bytes(plan.block_size * group.key_dim)
    keys, values = (part.reshape(heads, plan.blocks, -1).swapaxes(0, 1) for part in (pool[:cut], pool[cut:]))
    return keys, values


def output_names(programs: Programs) -> list[str]:
    """Named outputs of any of the programs, in the executor's order."""
    return sorted({name for program in programs for name in program.outputs})


def _add_program(
    builder: _cpu.Builder, program: Program, tensors: Mapping[str, StoredTensor], plan: Plan, names: Sequence[str],
    streamed: Mapping[WeightExpr | None, Place], copies: Mapping[WeightExpr | None, Copy],
) -> None:  # fmt: skip
    from ostinato import _cpu

    if lacking := {i.op for i in program.instructions} - set(_cpu.ops()):
        raise CompileError(f"cpu: no op {', '.join(sorted(lacking))}")
    verify(program, tensors)  # the executor trusts shapes, operands and cache indices
    encoded = encode(program, plan_buffers(program, plan.max_rows, plan.max_logit_rows))
    outputs = [encoded.outputs.get(name, ABSENT) for name in names]
    builder.add_program(encoded.instructions, encoded.values, encoded.arena_bytes, outputs)
    small = _elements(program)
    for expr in encoded.weights:
        view = resolve(expr, tensors)
        elements = expr in small or len(view.dims) == 1
        _add_weight(builder, expr, view, elements, small.get(expr, False), streamed.get(expr, RESIDENT))
        if expr in copies:
            _add_copy(builder, expr, copies[expr])


# Weights of two dimensions that ops read element by element, as they do those of one; conv's kernels tap by tap.
_SMALL = {("conv", "kernel"), ("experts", "gate_bias?"), ("experts", "up_bias?"), ("experts", "down_bias?")}
_WITH_SMALL = {op for op, _ in _SMALL}


def _elements(program: Program) -> dict[WeightExpr, bool]:
    """The program's small weights of two dimensions; whether the executor wants them column by column."""
    return {
        weight: i.op == "conv"
        for i in program.instructions
        if i.op in _WITH_SMALL
        for name, weight in zip(i.spec.weights, i.weights, strict=True)
        if weight is not None and (i.op, name) in _SMALL
    }


def _add_weight(
    builder: _cpu.Builder, expr: WeightExpr, view: WeightView, elements: bool, turned: bool, place: Place
) -> None:
    rows = prod(view.dims[:-1])
    experts = view.dims[0] if len(view.dims) == 3 else 1
    pieces = [(_bytes(p.data), p.offset, p.count, p.stride) for p in view.pieces]
    try:
        builder.add_weight(
            view.type, rows, view.dims[-1], experts, elements, turned, pieces, place.parcel, place.extent,
            place.by_expert,
        )  # fmt: skip
    except ValueError as error:
        raise CompileError(f"cpu: weight {expr} of type {view.type.name}: {error}") from error


def _add_copy(builder: _cpu.Builder, expr: WeightExpr, copy: Copy) -> None:
    try:
        builder.add_copy(copy.type, copy.stride, copy.parcel)
    except ValueError as error:
        raise CompileError(f"cpu: the copy of weight {expr}, of type {copy.type.name}: {error}") from error


def _bytes(data: np.ndarray) -> np.ndarray:
    """The same memory as uint8 [n]."""
    return data.reshape(-1).view(np.uint8)
