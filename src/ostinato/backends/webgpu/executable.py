"""A compiled model on a WebGPU device. A batch is one submission, however many steps it runs; only tokens come back."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import wgpu

from ostinato.backends.batch import Batch
from ostinato.backends.batch_table import MAX_IN_FLIGHT
from ostinato.backends.contract import BatchError, CompileError, Plan, StateAction, StepResult
from ostinato.backends.device.admission import Admission
from ostinato.backends.device.budget import make_budget, size_text
from ostinato.backends.device.lower import Call, Lowered, lower
from ostinato.backends.device.state import initial, layout, packet_words, result_words
from ostinato.backends.device.state_table import NOTHING
from ostinato.backends.vocabulary import embeddable
from ostinato.backends.webgpu.kv import KVPool, layer_bytes
from ostinato.backends.webgpu.memory import Allocator, OutOfMemoryError, Slice
from ostinato.backends.webgpu.native import DeviceError, Readback, submit, wait
from ostinato.backends.webgpu.pipelines import Pipelines
from ostinato.backends.webgpu.recorder import Operands, Recorder
from ostinato.backends.webgpu.results import Expected, expect
from ostinato.backends.webgpu.weights import upload
from ostinato.backends.webgpu.workgroups import step_size
from ostinato.model.weights import StoredTensor
from ostinato.program.ir import Programs
from ostinato.program.verify import verify

MAX_STEPS = 16  # of a run
_ABSENT_BYTES = 256


@dataclass
class Counters:
    """What was asked of the device so far."""

    submissions: int = 0
    dispatches: int = 0
    bytes_read: int = 0


@dataclass(frozen=True)
class _Flight:
    """A batch under way."""

    submission: Any
    expected: Expected
    readback: Readback


@dataclass(frozen=True)
class _Ready:
    """A program, ready to be recorded. `logits`: the arena's word where that output stands, where it has it."""

    recorder: Recorder
    logits: int | None


class WebGpuExecutable:
    """Holds everything on the device; `counters` count submissions, dispatches and bytes read back.

    DeviceError from any method says that the device failed; after it, they all raise it. RuntimeError: it is closed.
    """

    max_steps = MAX_STEPS
    store = None
    keeps_state = False

    def __init__(
        self,
        pipelines: Pipelines,
        programs: Programs,
        tensors: Mapping[str, StoredTensor],
        plan: Plan,
        weight_bytes: int,
    ) -> None:
        self._device, self._plan, self._vocab = pipelines.device.handle, plan, programs.vocab_size
        self._pipelines, self._allocator = pipelines, Allocator(pipelines.device)
        self._flights: deque[_Flight] = deque()
        self._readbacks = deque(Readback(self._device) for _ in range(MAX_IN_FLIGHT))
        self._logprobs: dict[int, int] = {}  # by slot
        self._unusable: Exception | None = None  # closed, or failed
        self.counters = Counters()
        try:
            self._build(programs, tensors, weight_bytes)
        except BaseException:
            self.close()
            raise

    def submit(self, batch: Batch) -> None:
        self._check()
        if len(self._flights) == MAX_IN_FLIGHT:
            raise RuntimeError(f"{MAX_IN_FLIGHT} steps are in flight; collect one first")
        if batch.want_logits and self._program(batch).logits is None:
            raise BatchError("logits of a program without that output")
        self._admission.admit(batch)
        self._logprobs |= {enter.slot: enter.sampling.logprobs for enter in batch.enters}
        expected = expect(batch, self._plan.max_sequences, self._vocab, self._logprobs)
        readback = self._readbacks[0]
        self._readbacks.rotate()
        with self._failing("a step cannot be submitted"):
            readback.reserve(expected.nbytes)
            self._device.queue.write_buffer(self._operands.packet.buffer, 0, batch.encode())
            submission = submit(self._device, self._record(batch, expected, readback))
        self.counters.submissions += 1
        self._flights.append(_Flight(submission, expected, readback))

    def collect(self) -> StepResult:
        self._check()
        if not self._flights:
            raise RuntimeError("no step is in flight")
        flight = self._flights.popleft()
        with self._failing("a step's results cannot be read"):
            words = flight.readback.read(flight.submission, flight.expected.nbytes)
        result = flight.expected.result(words)
        self.counters.bytes_read += flight.expected.nbytes
        if flight.expected.steps > 1:
            self._admission.collected(result.slots, (result.tokens != NOTHING).sum(axis=1))
        return result

    def state(
        self,
        action: StateAction,
        cache: int,
        blocks: Sequence[int],
        *,
        to: Sequence[int] = (),
        data: bytes = b"",
    ) -> bytes:
        """Raises ValueError for blocks that the plan does not have, or of another number or size than what they get."""
        self._check()
        with self._failing(f"blocks cannot be moved ({action.value})"):
            return self._operands.caches[cache].move(action, blocks, to, data)

    def close(self) -> None:
        self._unusable = self._unusable or RuntimeError("the executable is closed")
        for flight in self._flights:
            wait(self._device, flight.submission)
        self._flights.clear()
        for readback in self._readbacks:
            readback.close()
        self._allocator.close()

    def _check(self) -> None:
        if self._unusable is not None:
            raise self._unusable

    @contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        """An error of the device is the end: what it did of a batch that was admitted, nobody knows."""
        try:
            yield
        except (wgpu.GPUError, DeviceError) as error:
            self._unusable = DeviceError(f"webgpu: {what}: {' '.join(str(error).split())}")
            raise self._unusable from error

    # --------------------------------------------------------------------------------------------- compilation

    def _build(self, programs: Programs, tensors: Mapping[str, StoredTensor], weight_bytes: int) -> None:
        for program in programs:
            verify(program, tensors)  # shaders trust shapes, operands and cache indices
        plan, device = self._plan, self._allocator.device
        caches = len(programs.caches)
        self._admission = Admission(plan, caches, self._vocab, embeddable(programs, tensors), MAX_STEPS)
        most = min(weight_bytes, device.binding_bytes, device.buffer_bytes)
        lowered = [lower(program, tensors, plan, most) for program in programs]
        for group in programs.caches:
            layer_bytes(group, plan, device)  # said before gigabytes are sent
        budget = make_budget(programs, lowered, tensors, plan, MAX_STEPS)
        if device.memory:
            budget.check("webgpu", device.memory, plan)
        try:
            self._operands = self._allocate(programs, lowered, tensors)
        except (OutOfMemoryError, wgpu.GPUOutOfMemoryError) as error:
            budget.check("webgpu", self._allocator.allocated, plan)
            raise CompileError(f"webgpu: {error} (after {size_text(self._allocator.allocated)})") from error
        self._begin = self._recorder([Call("begin", {})])
        ready = [_Ready(self._recorder(part.calls), part.outputs.get("logits")) for part in lowered]
        self._prefill, self._decode = ready[0], ready[-1]

    def _recorder(self, calls: Sequence[Call]) -> Recorder:
        return Recorder(calls, self._allocator, self._pipelines, self._operands)

    def _allocate(
        self, programs: Programs, lowered: Sequence[Lowered], tensors: Mapping[str, StoredTensor]
    ) -> Operands:
        """All buffers, those that models need most of last. Raises CompileError or OutOfMemoryError."""
        plan, allocator, caches = self._plan, self._allocator, len(programs.caches)
        state = initial(layout(plan, caches, self._vocab, MAX_STEPS))
        operands = Operands(
            arena=allocator.whole("the arena", 4 * max(part.arena_words for part in lowered), plan),
            state=allocator.whole("StepState", state.nbytes, plan),
            packet=allocator.whole("the packet", 4 * packet_words(plan, caches, self._vocab), plan),
            result=allocator.whole("the result", 4 * sum(result_words(plan, MAX_STEPS)), plan),
            absent=allocator.whole("absent", _ABSENT_BYTES, plan),
            weights=upload(allocator, [call for part in lowered for call in part.calls], tensors),
            caches=[KVPool(allocator, group, plan) for group in programs.caches],
        )
        self._device.queue.write_buffer(operands.state.buffer, 0, state)
        return operands

    # --------------------------------------------------------------------------------------------------- steps

    def _program(self, batch: Batch) -> _Ready:
        return self._prefill if batch.prompt_rows else self._decode

    def _record(self, batch: Batch, expected: Expected, readback: Readback) -> Any:
        """The commands of a batch, as a wgpu.GPUCommandBuffer: steps, then copies into the readback."""
        program = self._program(batch)
        lengths = (self._admission.length(span.slot) for span in batch.spans)
        size = step_size(batch, lengths, self._plan.max_sequences)
        encoder = self._device.create_command_encoder(label="step")
        for step in range(batch.steps):
            compute = encoder.begin_compute_pass()
            if step == 0:
                self.counters.dispatches += self._begin.record(compute, size)
            if batch.rows:
                self.counters.dispatches += program.recorder.record(compute, size)
            compute.end()
            if step == 0 and expected.logits_bytes and program.logits is not None:
                at = expected.drawn_bytes + expected.best_bytes
                _copy(encoder, self._operands.arena, 4 * program.logits, readback, at, expected.logits_bytes)
        if expected.drawn_bytes:
            _copy(encoder, self._operands.result, 0, readback, 0, expected.drawn_bytes)
        if expected.best_bytes:
            first = 4 * result_words(self._plan, MAX_STEPS)[0]
            _copy(encoder, self._operands.result, first, readback, expected.drawn_bytes, expected.best_bytes)
        return encoder.finish()


def _copy(encoder: Any, source: Slice, offset: int, readback: Readback, at: int, nbytes: int) -> None:
    encoder.copy_buffer_to_buffer(source.buffer, source.offset + offset, readback.buffer, at, nbytes)
