"""CUDA's begin, rows and finish, on the host: StepState as stepstate.py defines it, over random batches and runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from ostinato.backends.batch import Batch, Enter, Span, TableEdit
from ostinato.backends.batch_table import HEADER, MASK, MAX_STOPS, Kind
from ostinato.backends.contract import Plan
from ostinato.backends.device.state_table import DRAW, DRAWN, INACTIVE, NO_BLOCK, NO_MASK, NO_NUMBER
from ostinato.backends.sampling import Sampling
from ostinato.backends.stepstate import StepState
from ostinato.program.builder import Builder
from ostinato.program.ir import CacheGroup, Programs
from tests.backends.cases import Weights
from tests.backends.cuda.host import HostMachine
from tests.backends.cuda.small import GRIDS

PLAN = Plan(max_rows=300, max_logit_rows=120, max_sequences=70, context=30, blocks=50, block_size=4)
CACHES, VOCAB, MAX_STEPS = 2, 40, 6
Words = NDArray[np.int32]


class State:
    """A machine of which only begin, rows and finish run; what `sample` would draw is written by the test."""

    def __init__(self, blocks: int = 4, warps: int = 3) -> None:
        weights = Weights(0)
        b = Builder(weights.tensors)
        b.caches.extend(CacheGroup(name, 1, 1, 2, 2) for name in ("a", "b"))
        logits = b.add("select", b.add("embed", weights=(weights.put("table", np.zeros((VOCAB, VOCAB), np.float32)),)))
        b.add("sample", logits)
        program = b.program("state", {"logits": logits}, VOCAB)
        self.host = HostMachine(
            Programs(program, program), weights.tensors, PLAN, max_steps=MAX_STEPS, blocks=blocks, warps=warps
        )
        self._calls = {call.phase: number for number, call in enumerate(self.host.calls)}

    def run(self, phase: str) -> None:
        self.host.run(self._calls[phase])

    def section(self, name: str, count: int) -> Words:
        first = self.host.layout[name]
        return self.host.words("state")[first : first + count]

    @property
    def histories(self) -> Words:
        return self.section("history", PLAN.max_sequences * (PLAN.context + 1)).reshape(PLAN.max_sequences, -1)

    @property
    def tables(self) -> Words:
        shape = (PLAN.max_sequences, CACHES, PLAN.blocks_per_sequence)
        return self.section("table", int(np.prod(shape))).reshape(shape)

    def draws(self) -> list[dict[str, int]]:
        rows = self.section("draw", PLAN.max_sequences * len(DRAW.words)).reshape(-1, len(DRAW.words))
        return [dict(zip(DRAW.words, row.tolist(), strict=True)) for row in rows[: self.host.record("draws")]]

    def positions(self) -> list[int]:
        return self.section("row_position", self.host.record("rows")).tolist()

    def draw(self, tokens: Sequence[int]) -> None:
        """What `sample` leaves behind: tokens in Drawn and in histories."""
        step = self.host.record("step")
        for number, (draw, token) in enumerate(zip(self.draws(), tokens, strict=True)):
            self.host.drawn()[step, number, DRAWN.index("token")] = token
            if draw["position"] != INACTIVE:
                self.histories[draw["slot"], draw["position"]] = max(token, 0)


def random_batch(random: np.random.Generator, state: StepState, first: bool) -> Batch:
    """Spans of some slots, prompts first; enters, edits in any order that may overwrite each other, and masks."""
    slots = random.permutation(PLAN.max_sequences)[: int(random.integers(0, PLAN.max_sequences))]
    prompts = int(random.integers(0, len(slots) + 1))
    spans, enters, edits = [], [], []
    for index, slot in enumerate(slots.tolist()):
        if first or random.random() < 0.2:
            for _ in range(int(random.integers(1, 3))):  # entered twice: the later one counts
                history = random.integers(0, VOCAB, random.integers(0, 6)).tolist()
                enters.append(Enter(slot, int(random.integers(0, 9)), Sampling(top_k=slot), history, 20, [1, slot % 7]))
        for _ in range(int(random.integers(0, 4))):
            start, count = (int(n) for n in random.integers(0, PLAN.blocks_per_sequence // 2, 2))
            blocks = random.integers(0, PLAN.blocks, count).tolist()
            edits.append(TableEdit(int(random.integers(0, CACHES)), slot, start, blocks))
        length, many = state.slots[slot].length, int(random.integers(1, 4))
        known = first or random.random() < 0.5 or length >= PLAN.context
        start = int(random.integers(0, PLAN.context - many)) if known else length
        tokens = random.integers(0, VOCAB, many).tolist() if known else None
        entered = any(enter.slot == slot for enter in enters)
        kind = Kind.PROMPT if index < prompts else Kind.GENERATED
        sample = bool(random.random() < 0.7)
        rows = max(int(sample), int(random.integers(0, (many if known else 1) + 1)))
        if known or not entered:
            spans.append(Span(slot, kind, start, tokens, rows, sample))
    masks = [(int(slot), np.zeros(-(-VOCAB // 32), np.uint32)) for slot in slots[::3] for _ in range(2)]
    return Batch(spans, enters, edits, masks)


@pytest.mark.parametrize("grid", [(1, 1), (4, 3), (2, 8)])
def test_random_batches(grid: tuple[int, int]) -> None:
    state, wanted, random = State(*grid), StepState(PLAN, CACHES), np.random.default_rng(5)
    for number in range(25):
        batch = random_batch(random, wanted, first=number == 0)
        rows = wanted.apply(batch)
        state.host.begin(batch)
        state.run("rows")
        check_rows(state, batch, rows.slot, rows.position, rows.token, rows.logit)
        tokens = random.integers(0, VOCAB, len(state.draws())).tolist()
        state.draw(tokens)
        for draw, token in zip(state.draws(), tokens, strict=True):
            wanted.record(draw["slot"], draw["position"], token)
        state.run("finish")
        wanted.finish(batch)
        assert (state.host.record("step"), state.host.record("running")) == (1, len(batch.spans))
        check_slots(state, wanted)


def check_rows(state: State, batch: Batch, *arrays: Words) -> None:
    for name, array in zip(("row_slot", "row_position", "row_token", "logit_row"), arrays, strict=True):
        np.testing.assert_array_equal(state.section(name, len(array)), array, err_msg=name)
    found = {name: state.host.record(name) for name in ("rows", "prompt_rows", "logit_rows", "prompt_logit_rows")}
    logit_rows = sum(span.logit_rows for span in batch.spans if span.kind is Kind.PROMPT)
    assert found == {"rows": batch.rows, "prompt_rows": batch.prompt_rows, "logit_rows": batch.logit_rows,
                     "prompt_logit_rows": logit_rows}  # fmt: skip
    ends = np.cumsum([span.count for span in batch.spans]) - 1
    logit_ends = np.cumsum([span.logit_rows for span in batch.spans]) - 1
    wanted = [
        {"row": logit_ends[i], "slot": span.slot, "position": arrays[1][ends[i]] + 1, "mask": mask(batch, span.slot)}
        for i, span in enumerate(batch.spans)
        if span.sample
    ]
    assert state.draws() == wanted


def mask(batch: Batch, slot: int) -> int:
    """Word of the packet at which the slot's last mask begins."""
    numbers = [number for number, (of, _) in enumerate(batch.masks) if of == slot]
    if not numbers:
        return NO_MASK
    packet = batch.encode()
    records = len(packet) - int(packet[HEADER.index("pool")])
    first = records - len(batch.masks) * len(MASK.words)
    return records + int(packet[first + numbers[-1] * len(MASK.words) + MASK.index("bits")])


def check_slots(state: State, wanted: StepState) -> None:
    for index, slot in enumerate(wanted.slots):
        assert state.host.slot(index, "length") == slot.length
        assert state.host.slot(index, "prompt_length") == slot.prompt_length
        assert state.host.slot(index, "stopped") == 0
        np.testing.assert_array_equal(state.histories[index], slot.history)
        np.testing.assert_array_equal(state.tables[index], slot.tables)


def test_settings_are_copied() -> None:
    sampling = Sampling(0.5, 7, 0.25, 0.125, -1.5, 0.75, 1.25, 2**63 + 5, 3, 11, ((4, -2.5), (9, 100.0)))
    state = State()
    state.host.begin(Batch([], [Enter(3, 6, sampling, [1, 2], 17, range(MAX_STOPS))]))
    integers = ("length", "prompt_length", "limit", "stops_count", "top_k", "choice", "logprobs", "bias_count")
    assert [state.host.slot(3, name) for name in integers] == [2, 6, 17, MAX_STOPS, 7, 3, 11, 2]
    floats = ("temperature", "top_p", "min_p", "presence", "frequency", "repetition")
    words = np.array([state.host.slot(3, name) for name in floats], np.int32)
    assert words.view(np.float32).tolist() == [0.5, 0.25, 0.125, -1.5, 0.75, 1.25]
    seed = np.array([state.host.slot(3, "seed_low"), state.host.slot(3, "seed_high")], np.int32)
    assert int(seed.view(np.uint64)[0]) == 2**63 + 5
    assert state.section("stops", 4 * MAX_STOPS)[3 * MAX_STOPS :].tolist() == list(range(MAX_STOPS))


def entered(state: State, lengths: Sequence[int], blocks: int = 7, limit: int = 99, stops: Sequence[int] = ()) -> None:
    """Slots 0, 1, ... with so many positions, of which the last row has drawn token 30 + slot."""
    slots = range(len(lengths))
    spans = [Span(slot, Kind.PROMPT, 0, [5] * length, 1, True) for slot, length in enumerate(lengths)]
    enters = [Enter(slot, lengths[slot], Sampling(), limit=limit, stops=stops) for slot in slots]
    edits = [TableEdit(cache, slot, 0, [7] * blocks) for slot in slots for cache in range(CACHES)]
    state.host.begin(Batch(spans, enters, edits))
    state.run("rows")
    state.draw([30 + slot for slot in slots])
    state.run("finish")


def begin_run(state: State, slots: int, tables: Sequence[TableEdit] = ()) -> None:
    spans = [Span(slot, Kind.GENERATED, 0, None, 1, True) for slot in range(slots)]
    state.host.begin(Batch(spans, tables=tables, steps=MAX_STEPS))


def steps(state: State, tokens: Sequence[Sequence[int]]) -> list[int]:
    """Runs a step for each list of tokens; returns how many slots ran after each."""
    running = []
    for drawn in tokens:
        state.run("rows")
        state.draw(drawn)
        state.run("finish")
        running.append(state.host.record("running"))
    return running


def stopped(state: State, slots: int) -> list[int]:
    return [state.host.slot(slot, "stopped") for slot in range(slots)]


def test_a_run_goes_on_from_its_own_tokens() -> None:
    state = State()
    entered(state, [3, 8])
    begin_run(state, 2)
    assert state.host.record("running") == 2
    assert steps(state, [[1, 2], [3, 4]]) == [2, 2]
    state.run("rows")
    assert state.positions() == [5, 10]
    assert state.section("row_token", 2).tolist() == [3, 4]
    assert state.histories[0, 3:6].tolist() == [30, 1, 3]


@pytest.mark.parametrize("grid", GRIDS)
def test_slots_stop_one_by_one(grid: tuple[int, int]) -> None:
    """After a stop token, without a number, at the limit, without a block: inactive in later steps, and no longer."""
    state = State(*grid)
    entered(state, [3, 3, 10, 4, 5], limit=13, stops=[9, 8])
    missing = TableEdit(1, 3, 2, [])
    state.tables[3, 1, 2] = -1  # positions 8 .. 11 of slot 3 have no block in the second cache group
    begin_run(state, 5, [missing])
    assert steps(state, [[1] * 5]) == [5]
    assert steps(state, [[9, 1, 1, 1, 1]]) == [3], "a stop token; and after position 12 comes the limit"
    assert stopped(state, 5) == [1, 0, 1, 0, 0]
    assert steps(state, [[7, NO_NUMBER, 7, 1, 8]]) == [1]
    assert steps(state, [[7, 7, 7, 1, 7]]) == [0]
    assert stopped(state, 5) == [1, 1, 1, NO_BLOCK, 1]
    assert [state.host.slot(slot, "length") for slot in range(5)] == [5, 6, 12, 8, 8]
    state.run("rows")
    assert state.positions() == [INACTIVE] * 5
    assert state.section("row_slot", 5).tolist() == list(range(5))
    assert [draw["position"] for draw in state.draws()] == [INACTIVE] * 5
    state.run("finish")
    assert [state.host.slot(slot, "length") for slot in range(5)] == [5, 6, 12, 8, 8]


def test_the_context_ends_a_run() -> None:
    state = State()
    entered(state, [PLAN.context - 2], blocks=PLAN.blocks_per_sequence)
    begin_run(state, 1)
    assert steps(state, [[1], [2]]) == [1, 0]
    assert state.host.slot(0, "length") == PLAN.context
    assert state.histories[0, PLAN.context] == 2


def test_the_first_step_of_a_run_draws_for_slots_that_stopped_before() -> None:
    state = State()
    entered(state, [3, 11, 3], limit=12, stops=[30])
    begin_run(state, 3)
    assert stopped(state, 3) == [0, 0, 0], "though slot 0 drew a stop token, and slot 1 up to its limit"
    assert state.host.record("running") == 3
    assert steps(state, [[7, 7, 1]]) == [2]
    assert [state.host.slot(slot, "length") for slot in range(3)] == [4, 12, 4]


def test_single_steps_know_no_end() -> None:
    state = State()
    entered(state, [3], blocks=1, limit=2, stops=[30, 1])
    assert stopped(state, 1) == [0]
    state.host.begin(Batch([Span(0, Kind.GENERATED, 0, None, 1, True)]))
    assert steps(state, [[1]]) == [1]
    assert state.host.slot(0, "length") == 4
