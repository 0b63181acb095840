"""A CUDA machine in NumPy arrays, run by the host implementation: phase by phase, step by step, or persistently.

Every array lies between guard words; memory that a kernel may not read before it wrote it holds NaN.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ostinato.backends.batch import Batch
from ostinato.backends.contract import Plan, StepResult
from ostinato.backends.cuda import machine as joint
from ostinato.backends.cuda.ring import Ring, Taken
from ostinato.backends.cuda.stacks import expert_count, find_stacks, resident_table, weight_entries
from ostinato.backends.device.lower import Call, Lowered, lower
from ostinato.backends.device.planes import device_bytes, to_planes
from ostinato.backends.device.results import step_result
from ostinato.backends.device.state import initial, layout, packet_words, result_words
from ostinato.backends.device.state_table import BEST, DRAWN, LAYOUT, SLOT, STEP
from ostinato.model.weights import StoredTensor, WeightExpr, resolve
from ostinato.program.ir import Programs
from tests.backends.cuda.build import library

GUARD = 64  # bytes before and after an array, and its alignment
_GUARD_BYTE = 0xA5


class Guarded:
    """Bytes between guards, filled with one byte: 0xFF makes every float32 and float16 NaN."""

    def __init__(self, name: str, size: int, fill: int) -> None:
        self.name = name
        self._whole = np.full(size + 3 * GUARD, _GUARD_BYTE, dtype=np.uint8)
        self._start = GUARD + -self._whole.ctypes.data % GUARD
        self.bytes = self._whole[self._start : self._start + size]
        self.bytes[:] = fill

    @property
    def address(self) -> int:
        return self.bytes.ctypes.data

    def check(self) -> None:
        before, after = self._whole[: self._start], self._whole[self._start + len(self.bytes) :]
        assert (before == _GUARD_BYTE).all(), f"written before {self.name}"
        assert (after == _GUARD_BYTE).all(), f"written behind {self.name}"


@dataclass
class HostMachine:
    """A model compiled for the host. Calls are numbered: `begin`, then those of `lowered` (prefill, then decode).

    `blocks`, `warps`: of every launch. A step is `begin(batch)`, then `run` for each call; `step` does it all.
    """

    programs: Programs
    tensors: Mapping[str, StoredTensor]
    plan: Plan
    max_steps: int = 1
    blocks: int = 4
    warps: int = 3
    sanitizer: str = ""
    ring_entries: int = 4
    time_limit: int = 0
    arrays: dict[str, Guarded] = field(default_factory=dict)

    def __post_init__(self) -> None:
        programs, plan = self.programs, self.plan
        self.library = library(self.sanitizer)
        self.lowered: list[Lowered] = [lower(program, self.tensors, plan) for program in programs]
        self.calls = [Call("begin", {}), *(call for low in self.lowered for call in low.calls)]
        words, exprs = joint.encode_calls(self.calls)
        caches, vocab = len(programs.caches), programs.vocab_size
        self.layout = layout(plan, caches, vocab, self.max_steps)
        self._put("calls", words)
        self._make("arena", 4 * max(low.arena_words for low in self.lowered))
        self._put("state", initial(self.layout))
        self._make("packet", 4 * packet_words(plan, caches, vocab))
        self._make("result", 4 * sum(result_words(plan, self.max_steps)))
        self._put("weights", np.array(self._weights(exprs), np.uint64))
        groups = [(group.name, plan.cache_bytes(group)) for group in programs.caches]
        self._put("kv", np.array([self._make(f"kv {name}", size).address for name, size in groups], np.uint64))
        for record, name in ((joint.GRID, "grid"), (joint.COMMAND, "command"), (joint.STATUS, "status")):
            self._put(name, np.zeros(len(record.words), np.int32))
        self._make("ring", 4 * self.ring_entries * joint.ENTRY_WORDS)
        decode = self.lowered[-1]
        self.machine = joint.machine(
            **{name: self.arrays[name].address for name in joint.MACHINE.names or () if name in self.arrays},
            ring_entries=self.ring_entries,
            decode_first=len(self.calls) - len(decode.calls),
            decode_calls=len(decode.calls),
            time_limit=self.time_limit,
        )

    # ------------------------------------------------------------------------------------------- running it

    def run(self, call: int, flags: int = 0, blocks: int | None = None, warps: int | None = None) -> None:
        """Runs one call to its end, as a kernel would; then looks at the guards."""
        self.library.ostinato_launch(self._machine, call, flags, blocks or self.blocks, warps or self.warps)
        self.check()

    def begin(self, batch: Batch) -> None:
        """Copies the batch's packet and runs `begin`."""
        packet = batch.encode()
        self.words("packet")[: len(packet)] = packet
        self.run(0)

    def step(self, batch: Batch) -> None:
        """A whole batch: `begin`, then every call, as often as the batch has steps and somebody runs."""
        self.begin(batch)
        first, count = self._program_calls(batch)
        for _ in range(batch.steps):
            for call in range(first, first + count):
                self.run(call)
            if not self.record("running"):
                break

    def check(self) -> None:
        """Raises AssertionError where a guard was written over, naming the array."""
        for array in self.arrays.values():
            array.check()

    def start(self, batch: Batch) -> Running:
        """`begin`, then a persistent launch of the run. One at a time."""
        self.begin(batch)
        return Running(self, len(batch.spans))

    # ------------------------------------------------------------------------------------------ looking at it

    def words(self, name: str) -> np.ndarray:
        """An array as int32."""
        return self.arrays[name].bytes.view(np.int32)

    def floats(self, place: int, rows: int, width: int) -> np.ndarray:
        """float32 [rows, width] of the arena, from word `place` on; a view."""
        return self.arrays["arena"].bytes.view(np.float32)[place : place + rows * width].reshape(rows, width)

    def record(self, word: str) -> int:
        """A word of Step."""
        return int(self.words("state")[len(LAYOUT.words) + STEP.index(word)])

    def slot(self, slot: int, word: str) -> int:
        """A word of a Slot."""
        return int(self.words("state")[self.layout["slot"] + slot * len(SLOT.words) + SLOT.index(word)])

    def logits(self, batch: Batch) -> np.ndarray:
        """float32 [R, vocab] of the step just run."""
        low = self.lowered[0 if batch.prompt_rows else -1]
        return self.floats(low.outputs["logits"], batch.logit_rows, self.programs.vocab_size)

    def drawn(self) -> np.ndarray:
        """int32 [max_steps, max_sequences, words of Drawn]; a view."""
        return self.words("result")[: self._drawn_words].reshape(self.max_steps, -1, len(DRAWN.words))

    def best(self) -> np.ndarray:
        """int32 [max_steps, max_sequences, words of Best]; a view."""
        return self.words("result")[self._drawn_words :].reshape(self.max_steps, -1, len(BEST.words))

    def result(self, batch: Batch) -> StepResult:
        """What the batch just run made, as an executable would say it."""
        steps, draws = self.record("step"), sum(span.sample for span in batch.spans)
        logits = self.logits(batch).copy() if batch.want_logits else None
        return step_result(self.drawn()[:steps, :draws], self.best()[:steps, :draws], logits)

    # -------------------------------------------------------------------------------------------------- parts

    @property
    def _machine(self) -> ctypes.c_void_p:
        return ctypes.c_void_p(self.machine.ctypes.data)

    @property
    def _drawn_words(self) -> int:
        return result_words(self.plan, self.max_steps)[0]

    def _program_calls(self, batch: Batch) -> tuple[int, int]:
        """The first call of the program that runs the batch, and how many it has."""
        if batch.prompt_rows:
            return 1, len(self.lowered[0].calls)
        count = len(self.lowered[-1].calls)
        return len(self.calls) - count, count

    def _weights(self, exprs: Sequence[WeightExpr]) -> list[int]:
        stacks, parcels = find_stacks(self.lowered, self.tensors), expert_count(self.lowered)
        places = {expr: self._weight(expr) for expr in exprs}
        self._put("experts", resident_table(stacks, parcels, places))
        self._put("uses", np.zeros(parcels, np.int32))
        places |= weight_entries(stacks, self.arrays["experts"].address)
        return [places[expr] for expr in exprs]

    def _weight(self, expr: WeightExpr) -> int:
        view = resolve(expr, self.tensors)
        array = self._make(f"weight {expr}", device_bytes(view))
        array.bytes[:] = np.concatenate([piece.reshape(-1) for piece in to_planes(view)])
        return array.address

    def _make(self, name: str, size: int, fill: int = 0xFF) -> Guarded:
        self.arrays[name] = Guarded(name, size, fill)
        return self.arrays[name]

    def _put(self, name: str, values: np.ndarray) -> None:
        self._make(name, values.nbytes).bytes[:] = values.reshape(-1).view(np.uint8)


class Running:
    """A persistent launch of a HostMachine."""

    def __init__(self, machine: HostMachine, draws: int) -> None:
        self._machine, self._library = machine, machine.library
        command, status = machine.words("command"), machine.words("status")
        self._entries = machine.words("ring").reshape(-1, joint.ENTRY_WORDS)
        command[:] = status[:] = 0
        self._ring = Ring(command, status, self._entries, draws, self._load, self._store)
        self._taken = 0
        pointer = ctypes.c_void_p(machine.machine.ctypes.data)
        self._handle = self._library.ostinato_decode(pointer, machine.blocks, machine.warps)

    def leave(self) -> None:
        self._ring.leave()

    def take(self) -> Taken:
        """What was published by now."""
        for step in range(self._taken, self.published()):
            entry = self._entries[step % len(self._entries)]
            self._library.ostinato_look(entry.ctypes.data, len(entry))
        taken = self._ring.take()
        self._taken += len(taken.drawn)
        return taken

    def published(self) -> int:
        """Steps in the ring so far, taken or not."""
        return self._load(self._machine.words("status"), joint.STATUS.index("published"))

    def rest(self) -> Taken:
        """Takes until the launch has left, then waits for its end; all steps since the last `take`."""
        parts = [self.take()]
        while parts[-1].left is joint.Left.RUNNING:
            parts.append(self.take())
        self._library.ostinato_wait(self._handle)
        self._machine.check()
        drawn, best = np.concatenate([p.drawn for p in parts]), np.concatenate([p.best for p in parts])
        return Taken(drawn, best, parts[-1].left)

    # Through the library, so that a sanitizer sees how the host orders its reads and writes.

    def _load(self, words: np.ndarray, index: int) -> int:
        return int(self._library.ostinato_read(words[index:].ctypes.data))

    def _store(self, words: np.ndarray, index: int, value: int) -> None:
        self._library.ostinato_write(words[index:].ctypes.data, value)


class HostExecutable:
    """A HostMachine as an executable: a step runs when it is collected."""

    store = None
    keeps_state = False

    def __init__(self, machine: HostMachine) -> None:
        self.machine, self.max_steps = machine, machine.max_steps
        self._waiting: list[Batch] = []

    def submit(self, batch: Batch) -> None:
        self._waiting.append(batch)

    def collect(self) -> StepResult:
        batch = self._waiting.pop(0)
        self.machine.step(batch)
        return self.machine.result(batch)

    def close(self) -> None:
        self.machine.check()


class HostBackend:
    """As a backend, for tests.backends.cases.run_case and drive."""

    name = "cuda-host"

    def compile(self, programs: Programs, tensors: Mapping[str, StoredTensor], plan: Plan) -> HostExecutable:
        return HostExecutable(HostMachine(programs, tensors, plan, max_steps=8))
