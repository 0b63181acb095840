"""The contract between programs, backends and the engine: what a machine must be able to do, in six methods.

    backend.probe()                             what is there, its limits, or why it is not
    backend.compile(programs, tensors, plan)    an Executable, or CompileError naming what it lacks
    executable.submit(batch)                    starts a step; at most MAX_IN_FLIGHT (two) are in flight
    executable.collect()                        waits for the oldest step and returns what it made
    executable.state(action, ...)               copies, spills or restores blocks of a cache group
    executable.close()                          gives everything back

A row's arithmetic depends on its kind (prompt or generated) and on nothing else in the batch.

A batch may be a run of decode steps (`Batch.steps`) for an executable that can do several without the host. A
run may draw fewer tokens than asked for; `StepResult.counts` says how many. It may hand them out in several
results: while `more` is set, it is still in flight. Submitting any batch, an empty one too, asks a run in flight to
end at its next token (one that the device cannot stop any more goes on to its end).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from ostinato.backends.batch import Batch, Span
from ostinato.backends.batch_table import MAX_STOPS, Kind
from ostinato.gguf.types_table import TensorType
from ostinato.model.weights import StoredTensor
from ostinato.program.ir import CacheGroup, Programs

if TYPE_CHECKING:
    import numpy as np

    from ostinato.memory.residency import Residency, WeightStore


class CompileError(ValueError):
    """The backend lacks an op, a type or a size that the program needs; the text names it."""


class BatchError(ValueError):
    """A batch outside the plan's limits; the text names the span or count."""


class StateAction(Enum):
    """What `Executable.state` does with blocks."""

    COPY = "copy"  # blocks -> other blocks of the same group
    SPILL = "spill"  # blocks -> bytes
    RESTORE = "restore"  # bytes -> blocks
    DROP = "drop"  # blocks that mean nothing until they are written again: their memory may go back to the system


class KVType(Enum):
    """How keys and values are kept. Q8_0 is GGUF's: 32 elements of a head share a float16 scale, 1/127 of the largest
    magnitude; heads must hold whole blocks of 32."""

    F16 = "f16"
    F32 = "f32"
    Q8_0 = "q8_0"

    @property
    def tensor_type(self) -> TensorType:
        """The format of GGUF that keeps elements so."""
        return TensorType[self.name]

    @property
    def element_bytes(self) -> float:
        """Of one element, with its share of a block's scale."""
        return self.tensor_type.block_bytes / self.tensor_type.block_elements

    def bytes(self, elements: int) -> int:
        """Of so many elements of heads."""
        return elements * self.tensor_type.block_bytes // self.tensor_type.block_elements


@dataclass(frozen=True)
class Plan:
    """Limits an executable is compiled for, and where its paged state lives.

    `memory` maps a cache group's name to a writable buffer of exactly `cache_bytes(group)`, owned by the
    caller (so that it survives the process); without one the executable allocates its own.
    """

    max_rows: int = 512  # T of one step
    max_logit_rows: int = 64  # R of one step
    max_sequences: int = 64  # slots
    context: int = 2048  # positions of one sequence
    blocks: int = 256  # blocks of every cache group
    block_size: int = 16  # positions of one block
    kv_type: KVType = KVType.F16
    threads: int = 0  # 0: one per core this process may use
    memory: Mapping[str, memoryview] = field(default_factory=dict)
    residency: Residency | None = None  # weights stream from the model's files, in a budget
    device_memory: int | None = None  # bytes of a device that all of the model may take; None: all that is free
    pinned_memory: int = 0  # bytes that may be pinned for experts that lie beside it, where there is a device_memory
    expert_profile: str | None = None  # a file of `ostinato profile`: which experts are on the device at first

    @property
    def blocks_per_sequence(self) -> int:
        """Length of a slot's block table."""
        return -(-self.context // self.block_size)

    def cache_bytes(self, group: CacheGroup) -> int:
        """Bytes of all blocks of `group`."""
        return self.blocks * self.kv_type.bytes(group.elements(self.block_size))


@dataclass(frozen=True)
class Probe:
    """What a backend found: `available`, or why not; `device` and `detail` are for people.

    `unfit` says why an available backend is not chosen unless it is named (a software adapter), else "".
    `memory_bytes` is what a plan may count on, where that is not the machine's own memory; else 0. `layer_bytes`
    is the most that keys and values of one layer may take together, where something else than memory limits it; else 0.
    """

    name: str
    available: bool
    device: str
    detail: Mapping[str, str] = field(default_factory=dict)
    unfit: str = ""
    memory_bytes: int = 0
    layer_bytes: int = 0


@dataclass(frozen=True)
class StepResult:
    """What one step made, provisional until the engine commits it. Arrays run over the sampled spans, in order.

    slots           int32 [spans]          the slot of each
    tokens          int32 [spans, n]       n drawn tokens per span: one of a single step, more of a run
    counts          int32 [spans]          how many of them are valid
    failed          bool [spans]           no logit was a number: nothing was drawn after those that count
    logprobs        float32 [spans, n]     log softmax of the raw logits at the token (NaN where not asked for)
    top_ids         int32 [spans, n, 20]   best tokens by raw logit; -1 beyond the number asked for
    top_logprobs    float32 [spans, n, 20]
    outputs         named outputs asked for: `logits` float32 [R, vocab] (of a run: of its first step)
    more            the run goes on; its next tokens come with the next collect. Every part of a run lists all its
                    spans, in order, with counts 0 for those that drew nothing
    faults          slot -> why its rows have no numbers, where its weights could not be read; it drew nothing. Keys
                    and values of those rows mean nothing. Spans that do not sample can be among them
    """

    slots: np.ndarray
    tokens: np.ndarray
    counts: np.ndarray
    logprobs: np.ndarray
    top_ids: np.ndarray
    top_logprobs: np.ndarray
    outputs: Mapping[str, np.ndarray]
    failed: np.ndarray
    more: bool = False
    faults: Mapping[int, str] = field(default_factory=dict)


class Executable(Protocol):
    """A compiled model on one device."""

    @property
    def max_steps(self) -> int:
        """The longest run (`Batch.steps`) it takes; 1: single steps only."""

    @property
    def keeps_state(self) -> bool:
        """Whether keys and values lie in the plan's `memory`, and so outlive this executable and its process."""

    @property
    def store(self) -> WeightStore | None:
        """Where weights stream from; None: all are resident."""

    def submit(self, batch: Batch) -> None:
        """Starts a step or a run. Raises BatchError for a batch outside the plan (and starts nothing), RuntimeError
        when two are in flight."""

    def collect(self) -> StepResult:
        """Waits for the oldest step. Raises RuntimeError when none is in flight."""

    def state(
        self,
        action: StateAction,
        cache: int,
        blocks: Sequence[int],
        *,
        to: Sequence[int] = (),
        data: bytes = b"",
    ) -> bytes:
        """COPY blocks -> `to`; SPILL blocks, returning their bytes; RESTORE `data` into blocks; DROP blocks, which may
        do nothing. Only with no step in flight that names them."""

    def close(self) -> None:
        """Frees memory and threads; steps in flight are finished first."""


class Backend(Protocol):
    """A kind of machine."""

    name: str

    def probe(self) -> Probe:
        """Looks, without side effects and without loading anything heavy."""

    def compile(self, programs: Programs, tensors: Mapping[str, StoredTensor], plan: Plan) -> Executable:
        """Raises CompileError naming what is missing."""


def refuse_streaming(backend: str, plan: Plan) -> None:
    """For backends that have no store. Raises CompileError."""
    if plan.residency is not None:
        raise CompileError(f"{backend}: its weights are all resident; a budget of memory needs the cpu backend")


def refuse_device_budget(backend: str, plan: Plan) -> None:
    """For backends that have no slots for experts in a device's memory. Raises CompileError."""
    if plan.device_memory is not None:
        raise CompileError(f"{backend}: it keeps no experts on a card; a budget of --gpu-memory needs the cuda backend")


def check_batch(batch: Batch, plan: Plan, vocab_size: int, max_steps: int = 1) -> None:
    """Raises BatchError unless the batch keeps the contract and the plan's limits. Every backend calls it."""
    if not 1 <= batch.steps <= max_steps:
        raise BatchError(f"a run of {batch.steps} steps; this executable takes 1 to {max_steps}")
    if batch.steps > 1:
        _check_run(batch)
    for enter in batch.enters:
        if len(enter.stops) > MAX_STOPS:
            raise BatchError(f"slot {enter.slot}: {len(enter.stops)} stop tokens; at most {MAX_STOPS}")
    for count, limit, what in (
        (batch.rows, plan.max_rows, "rows"),
        (batch.logit_rows, plan.max_logit_rows, "logit rows"),
        (len(batch.spans), plan.max_sequences, "spans"),
    ):
        if count > limit:
            raise BatchError(f"{count} {what}; the plan allows {limit}")
    kinds = [span.kind for span in batch.spans]
    if kinds != sorted(kinds):
        raise BatchError("a prompt span follows a generated span; prompt spans come first")
    if len({span.slot for span in batch.spans}) != len(batch.spans):
        raise BatchError("a slot appears in two spans")
    for span in batch.spans:
        _check_span(span, plan, vocab_size)
    for edit in batch.tables:
        if not 0 <= edit.first <= edit.first + len(edit.blocks) <= plan.blocks_per_sequence:
            raise BatchError(f"slot {edit.slot}: table entries {edit.first}+{len(edit.blocks)}")
        if any(not 0 <= block < plan.blocks for block in edit.blocks):
            raise BatchError(f"slot {edit.slot}: a block outside 0..{plan.blocks}")


def _check_run(batch: Batch) -> None:
    for span in batch.spans:
        if span.kind is not Kind.GENERATED or span.tokens is not None or not span.sample:
            raise BatchError(f"slot {span.slot}: a run has only single generated rows from StepState that sample")
    if batch.masks:
        raise BatchError("a mask holds for one step; a run has several")


def _check_span(span: Span, plan: Plan, vocab_size: int) -> None:
    where = f"slot {span.slot}"
    if not 0 <= span.slot < plan.max_sequences:
        raise BatchError(f"{where}: the plan has {plan.max_sequences} slots")
    if span.count < 1 or span.start < 0 or span.start + span.count > plan.context:
        raise BatchError(f"{where}: positions {span.start}+{span.count}; the context is {plan.context}")
    if not int(span.sample) <= span.logit_rows <= span.count:
        raise BatchError(f"{where}: {span.logit_rows} logit rows of {span.count}, sample={span.sample}")
    if span.adapter != 0:
        raise BatchError(f"{where}: adapter {span.adapter} is not loaded")
    if span.tokens is not None and not all(0 <= token < vocab_size for token in span.tokens):
        raise BatchError(f"{where}: a token outside the vocabulary of {vocab_size}")
