"""A compiled model on a card: the contract's four calls. Steps run in the order of one stream, without the host."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np

from ostinato.backends.batch import Batch
from ostinato.backends.batch_table import MAX_IN_FLIGHT
from ostinato.backends.contract import BatchError, CompileError, Plan, StateAction, StepResult
from ostinato.backends.cuda.blocks import Blocks
from ostinato.backends.cuda.bus import measure_bus
from ostinato.backends.cuda.driver import Event, OpenDriver, OutOfDeviceMemoryError
from ostinato.backends.cuda.graphs import StepLauncher
from ostinato.backends.cuda.image import MAX_STEPS, Image, Staging, build_image, check_places, few_rows
from ostinato.backends.cuda.keeper import Keeper
from ostinato.backends.cuda.machine import PERSISTENT_SEQUENCES
from ostinato.backends.cuda.memory import Memory
from ostinato.backends.cuda.runs import Flight, GraphRun, Part, PersistentRun, Result, SingleStep
from ostinato.backends.cuda.weights import Budgeted
from ostinato.backends.device.admission import Admission, check_blocks
from ostinato.backends.device.budget import Budget, make_budget
from ostinato.backends.device.experts import DeviceExperts, plan_experts
from ostinato.backends.device.lower import Lowered, lower
from ostinato.backends.device.results import step_result
from ostinato.backends.device.state import layout
from ostinato.backends.device.state_table import BEST, DRAWN, LAYOUT, STEP
from ostinato.backends.vocabulary import embeddable
from ostinato.gguf.types_table import TensorType
from ostinato.memory.hot import BusCosts, HotSet, first_parcels
from ostinato.model.weights import StoredTensor
from ostinato.program.ir import Programs
from ostinato.program.verify import verify

RESERVE_BYTES = 128 << 20  # of the card, for what the driver itself needs: graphs, stacks


def load(
    open_driver: OpenDriver, programs: Programs, tensors: Mapping[str, StoredTensor], plan: Plan
) -> CudaExecutable:
    """Compiles and uploads; the driver is closed with the executable, or when this fails. Raises CompileError."""
    tokens = embeddable(programs, tensors)
    for program in programs:
        verify(program, tensors)  # kernels trust shapes, operands and cache indices
    lowered = [lower(program, tensors, plan) for program in programs]
    check_places(lowered, layout(plan, len(programs.caches), programs.vocab_size, MAX_STEPS))
    budget = make_budget(programs, lowered, tensors, plan, MAX_STEPS)
    calls = [call for low in lowered for call in low.calls]
    formats = {TensorType(int(word)) for call in calls for name, word in call.words.items() if name.endswith("_type")}
    few = {call.phase for call in few_rows(lowered[-1].calls)}
    driver = open_driver({"begin", *(call.phase for call in calls)}, few, formats)
    memory = Memory(driver)
    try:
        free = driver.free_bytes()
        experts = plan_experts("cuda", programs, tensors, budget, plan, free - RESERVE_BYTES)
        if experts is None:
            budget.check("cuda", free - RESERVE_BYTES, plan)
        try:
            image, keeper = _build(memory, programs, lowered, tensors, plan, experts)
        except OutOfDeviceMemoryError as error:
            raise CompileError(f"cuda: {error}; {_needs(budget, experts, free)}") from error
        admission = Admission(plan, len(programs.caches), programs.vocab_size, tokens, MAX_STEPS)
        blocks = Blocks(memory, programs.caches, image.kv, plan)
        return CudaExecutable(memory, image, admission, blocks, programs, plan, keeper)
    except BaseException:
        memory.close()
        driver.close()
        raise


def _build(
    memory: Memory, programs: Programs, lowered: Sequence[Lowered], tensors: Mapping[str, StoredTensor], plan: Plan,
    experts: DeviceExperts | None,
) -> tuple[Image, Keeper | None]:  # fmt: skip
    """Keeper: of experts in a budget."""
    if experts is None:
        return build_image(memory, programs, lowered, tensors, plan), None
    first = first_parcels(experts.plan, experts.stacks, plan.expert_profile)
    policy = HotSet(experts.plan, BusCosts(measure_bus(memory)), first)
    image = build_image(memory, programs, lowered, tensors, plan, Budgeted(experts, first))
    assert image.weights.slots is not None
    return image, Keeper(memory, image.weights.slots, policy, image.weights.uses, image.weights.experts)


def _needs(budget: Budget, experts: DeviceExperts | None, free: int) -> str:
    if experts is None:
        return f"the model needs {budget.total} bytes, {free} were free"
    return f"the model takes {experts.plan.nbytes} bytes of its budget, {free} were free: give less of --gpu-memory"


@dataclass
class _InFlight:
    batch: Batch
    flight: Flight
    logits: np.ndarray | None  # a view of pinned memory, for the first part
    slots: np.ndarray  # int32 [draws]
    rows: np.ndarray  # by which each slot advanced so far


class CudaExecutable:
    """Up to MAX_IN_FLIGHT batches in one stream. Not for several threads at once."""

    max_steps = MAX_STEPS
    store = None
    keeps_state = False

    def __init__(
        self, memory: Memory, image: Image, admission: Admission, blocks: Blocks, programs: Programs, plan: Plan,
        keeper: Keeper | None = None,
    ) -> None:  # fmt: skip
        self.memory, self.keeper = memory, keeper
        self._driver, self._image, self._plan, self._vocab = memory.driver, image, plan, programs.vocab_size
        self._admission, self._blocks = admission, blocks
        self._launcher = StepLauncher(memory.driver, image, plan)
        self._in_flight: deque[_InFlight] = deque()
        self._turn = 0  # index of the staging that the next batch takes
        self._logprobs = [-1] * plan.max_sequences  # asked for, by slot
        self._closed = False

    def submit(self, batch: Batch) -> None:
        if len(self._in_flight) == MAX_IN_FLIGHT:
            raise RuntimeError(f"{MAX_IN_FLIGHT} steps are in flight; collect one first")
        program = self._image.prefill if batch.prompt_rows else self._image.decode
        if batch.want_logits and program.logits is None:
            raise BatchError("logits of a program without that output")
        self._admission.admit(batch)
        self._driver.enter()
        self._leave()
        for enter in batch.enters:
            self._logprobs[enter.slot] = enter.sampling.logprobs
        staging = self._image.stagings[self._turn]
        self._turn = 1 - self._turn
        self._launcher.begin(batch, staging)
        logits = self._logits_place(staging, batch) if batch.want_logits else None
        slots = np.array([span.slot for span in batch.spans if span.sample], dtype=np.int32)
        self._in_flight.append(_InFlight(batch, self._launch(batch, staging, logits), logits, slots, 0 * slots))

    def collect(self) -> StepResult:
        if not self._in_flight:
            raise RuntimeError("no step is in flight")
        self._driver.enter()
        oldest = self._in_flight[0]
        part = oldest.flight.collect()
        if self.keeper is not None:
            self.keeper.tend(len(part.drawn))
        result = self._result(oldest, part)
        oldest.rows += result.counts + result.failed  # a row without a number was computed too
        if not result.more:
            self._in_flight.popleft()
            if oldest.batch.steps > 1:
                self._admission.collected(oldest.slots, oldest.rows)
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
        """A run in flight is asked to end: blocks are moved after it."""
        check_blocks(blocks, to, self._plan.blocks)
        self._driver.enter()
        self._leave()
        if action is StateAction.DROP:
            return b""
        if action is StateAction.COPY:
            self._blocks.copy(cache, blocks, to)
            return b""
        if action is StateAction.SPILL:
            return self._blocks.spill(cache, blocks)
        self._blocks.restore(cache, blocks, data)
        return b""

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with ExitStack() as last:  # in reverse, each of them whatever became of the others
            last.callback(self._driver.close)
            last.callback(self.memory.close)
            last.callback(self._launcher.close)
            self._driver.enter()
            self._leave()
            self._driver.synchronize()

    # ------------------------------------------------------------------------------------------------- launches

    def _leave(self) -> None:
        for each in self._in_flight:
            each.flight.leave()

    def _launch(self, batch: Batch, staging: Staging, logits: np.ndarray | None) -> Flight:
        draws = sum(span.sample for span in batch.spans)
        persistent = self._driver.card.cooperative and logits is None and len(batch.spans) <= PERSISTENT_SEQUENCES
        if batch.steps > 1 and persistent:
            return self._persistent(staging, draws)
        if batch.steps > 1:
            return GraphRun(
                staging, draws, self._plan.max_sequences, batch.steps,
                lambda first, count, place: self._repeat(batch, staging, first, count, place, logits),
            )  # fmt: skip
        if batch.spans:
            self._launcher.step(batch)
            self._read_back(batch, staging, 0, 1)
            self._read_logits(batch, logits)
        return SingleStep(staging, draws, self._plan.max_sequences, self._driver.event())

    def _persistent(self, staging: Staging, draws: int) -> Flight:
        staging.command[:] = 0
        staging.status[:] = 0
        self._driver.decode(staging.machine)
        return PersistentRun(staging, draws, self._driver.event())

    def _repeat(
        self, batch: Batch, staging: Staging, first: int, count: int, place: int, logits: np.ndarray | None
    ) -> Event:
        """Steps first .. first + count of a run."""
        for step in range(first, first + count):
            self._launcher.step(batch)
            if step == 0:
                self._read_logits(batch, logits)
        self._read_back(batch, staging, first, count)
        step_words = staging.step[place]
        self._driver.copy(step_words.ctypes.data, self._image.state + 4 * len(LAYOUT.words), 4 * len(STEP.words))
        return self._driver.event()

    def _read_back(self, batch: Batch, staging: Staging, first: int, count: int) -> None:
        result = Result(staging, self._plan.max_sequences)
        spans = [result.drawn_span(first, count)]
        if self._wants_best(batch):
            spans.append(result.best_span(first, count))
        for start, words in spans:
            to = staging.result[start : start + words]
            self._driver.copy(to.ctypes.data, self._image.result + 4 * start, to.nbytes)

    # -------------------------------------------------------------------------------------------------- results

    def _result(self, flying: _InFlight, part: Part) -> StepResult:
        logits, flying.logits = flying.logits, None
        asked = np.array([self._logprobs[slot] > 0 for slot in flying.slots], dtype=bool)
        best = _known_best(part, asked) if asked.any() else None
        result = step_result(part.drawn, best, None if logits is None else logits.copy(), part.more)
        return replace(result, slots=flying.slots)  # a part without steps has them too

    def _wants_best(self, batch: Batch) -> bool:
        return any(span.sample and self._logprobs[span.slot] > 0 for span in batch.spans)

    def _logits_place(self, staging: Staging, batch: Batch) -> np.ndarray:
        """float32 [R, vocab] of pinned memory, made when logits are first asked for."""
        name = f"logits {self._image.stagings.index(staging)}"
        nbytes = 4 * self._plan.max_logit_rows * self._vocab
        whole = self.memory.pinned(name) if name in self.memory.pinned_bytes else self.memory.pin(name, nbytes)
        return whole.view(np.float32)[: batch.logit_rows * self._vocab].reshape(-1, self._vocab)

    def _read_logits(self, batch: Batch, logits: np.ndarray | None) -> None:
        if logits is None or not logits.size:
            return
        place = (self._image.prefill if batch.prompt_rows else self._image.decode).logits
        assert place is not None
        self._driver.copy(logits.ctypes.data, self._image.arena + 4 * place, logits.nbytes)


def _known_best(part: Part, asked: np.ndarray) -> np.ndarray:
    """Best of the draws that asked and drew; the card leaves the others' as they were."""
    out = np.full(part.best.shape, -1, dtype=np.int32)
    out[..., len(BEST.words) // 2 :].view(np.float32)[:] = np.nan
    drew = asked & (part.drawn[..., DRAWN.index("token")] >= 0)
    out[drew] = part.best[drew]
    return out
