"""begin, rows and finish against StepState in NumPy: random batches, runs, more spans than a workgroup has lanes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from ostinato.backends.batch import Batch, Enter, Span, TableEdit
from ostinato.backends.batch_table import ENTER, HEADER, MASK, MAX_LOGIT_BIAS, MAX_STOPS, SPAN, TABLE, Kind
from ostinato.backends.contract import Plan
from ostinato.backends.device.state_table import DRAWN, INACTIVE, NO_BLOCK, NO_MASK, NO_NUMBER
from ostinato.backends.sampling import Sampling
from ostinato.backends.stepstate import StepState
from tests.backends.webgpu.support import needs_adapter
from tests.backends.webgpu.world import GARBAGE, World

pytestmark = needs_adapter

PLAN = Plan(max_rows=128, max_logit_rows=64, max_sequences=9, context=40, blocks=30, block_size=4)
CACHES, VOCAB = 2, 70


@dataclass
class Pair:
    """A device's state beside the definition's, fed the same."""

    world: World
    wanted: StepState

    def step(self, batch: Batch) -> None:
        """One step; what was drawn is made up."""
        rows = self.wanted.apply(batch)
        self.world.take(batch)
        self.world.run("rows")
        step, plan = self.world.step, self.world.plan
        assert (step["rows"], step["logit_rows"]) == (batch.rows, batch.logit_rows)
        assert step["prompt_rows"] == batch.prompt_rows
        assert step["prompt_logit_rows"] == sum(s.logit_rows for s in batch.spans if s.kind is Kind.PROMPT)
        for name, array in (("row_slot", rows.slot), ("row_position", rows.position), ("row_token", rows.token)):
            np.testing.assert_array_equal(self.world.section(name, plan.max_rows)[: batch.rows], array, name)
        np.testing.assert_array_equal(
            self.world.section("logit_row", plan.max_logit_rows)[: len(rows.logit)], rows.logit
        )
        self._check_draws(batch)
        self._draw(batch)
        self.world.run("finish")
        self.wanted.finish(batch)
        assert self.world.step["step"] == 1
        assert self.world.step["running"] == len(batch.spans)
        self.check_slots()

    def check_slots(self) -> None:
        for index, slot in enumerate(self.wanted.slots):
            np.testing.assert_array_equal(self.world.history(index), slot.history)
            np.testing.assert_array_equal(self.world.tables(index), slot.tables)
            found = self.world.slot(index)
            assert (found["length"], found["prompt_length"]) == (slot.length, slot.prompt_length)

    def _check_draws(self, batch: Batch) -> None:
        wanted, logit_row = [], -1
        for span in batch.spans:
            logit_row += span.logit_rows
            if span.sample:
                position = self.wanted.slots[span.slot].length + span.count
                wanted.append({"row": logit_row, "slot": span.slot, "position": position})
        masks = dict(batch.masks)
        found = self.world.draws()
        assert [{k: draw[k] for k in ("row", "slot", "position")} for draw in found] == wanted
        for draw in found:
            bits = masks.get(draw["slot"])
            if bits is None:
                assert draw["mask"] == NO_MASK
            else:
                words = self.world.packet[draw["mask"] : draw["mask"] + len(bits)]
                np.testing.assert_array_equal(words.view(np.uint32), bits)

    def _draw(self, batch: Batch) -> None:
        for number, draw in enumerate(self.world.draws()):
            token = (7 * draw["slot"] + draw["position"]) % VOCAB
            self.world.drawn()[0, number, DRAWN.index("token")] = token
            self.world.history(draw["slot"])[draw["position"]] = token
            self.wanted.record(draw["slot"], draw["position"], token)


def pair(plan: Plan = PLAN, groups: int = 3) -> Pair:
    return Pair(World(plan, CACHES, VOCAB, groups=groups), StepState(plan, CACHES))


def random_batch(random: np.random.Generator, state: StepState, plan: Plan) -> Batch:
    """Enters, edits and spans of every sort that fit the plan and go on where their slots stand."""
    enters, tables, prompts, generated, masks = [], [], [], [], []
    for slot in random.permutation(plan.max_sequences).tolist():
        length, prompt_length = state.slots[slot].length, state.slots[slot].prompt_length
        if length == 0 or length > plan.context - 6 or random.random() < 0.2:
            prompt_length, length = int(random.integers(1, 12)), int(random.integers(0, 4))
            history = random.integers(0, VOCAB, length).tolist()
            enters.append(Enter(slot, prompt_length, some_settings(random), history, 99, [1, 2]))
        for cache in range(CACHES):
            first = int(random.integers(0, plan.blocks_per_sequence))
            blocks = random.integers(0, plan.blocks, random.integers(0, plan.blocks_per_sequence - first + 1))
            tables.append(TableEdit(cache, slot, first, blocks.tolist()))
        if random.random() < 0.2:
            continue
        span = some_span(random, slot, length, length < prompt_length, slot not in [e.slot for e in enters])
        (prompts if span.kind is Kind.PROMPT else generated).append(span)
        if random.random() < 0.3:
            masks.append((slot, random.integers(0, 2**32, -(-VOCAB // 32), dtype=np.uint32)))
    return Batch([*prompts, *generated], enters, tables, masks)


def some_settings(random: np.random.Generator) -> Sampling:
    bias = tuple((int(t), float(t)) for t in random.integers(0, VOCAB, random.integers(0, 5)))
    return Sampling(
        temperature=0.5, top_k=int(random.integers(0, 9)), seed=int(random.integers(0, 2**64, dtype=np.uint64)),
        choice=3, logprobs=int(random.integers(-1, 20)), logit_bias=bias,
    )  # fmt: skip


def some_span(random: np.random.Generator, slot: int, start: int, prompt: bool, from_state: bool) -> Span:
    if from_state and not prompt and random.random() < 0.5:
        return Span(slot, Kind.GENERATED, start, None, 1, sample=bool(random.random() < 0.8))
    count = int(random.integers(1, 6))
    logit_rows = int(random.integers(0, count + 1))
    tokens = random.integers(0, VOCAB, count).tolist()
    sample = logit_rows > 0 and random.random() < 0.7
    return Span(slot, Kind.PROMPT if prompt else Kind.GENERATED, start, tokens, logit_rows, sample=bool(sample))


@pytest.mark.parametrize("groups", [1, 4])
def test_random_batches(groups: int) -> None:
    random = np.random.default_rng(groups)
    both = pair(groups=groups)
    for _ in range(12):
        both.step(random_batch(random, both.wanted, PLAN))


def test_more_spans_than_lanes() -> None:
    plan = Plan(max_rows=1200, max_logit_rows=1200, max_sequences=530, context=8, blocks=4, block_size=4)
    both = pair(plan)
    spans = [
        Span(i, Kind.PROMPT, 0, [(i + j) % VOCAB for j in range(1 + i % 3)], i % 2, sample=i % 2 == 1)
        for i in range(527)
    ]
    both.step(Batch(spans, [Enter(i, 3, Sampling()) for i in range(527)]))


def test_settings_biases_and_stops_reach_their_slot() -> None:
    world = World(PLAN, CACHES, VOCAB)
    settings = Sampling(
        temperature=0.75, top_k=9, top_p=0.5, min_p=0.25, presence_penalty=1.5, frequency_penalty=-0.5,
        repetition_penalty=1.25, seed=2**63 + 5, choice=4, logprobs=3, logit_bias=((1, 2.5), (60, -3.0)),
    )  # fmt: skip
    world.take(Batch([], [Enter(5, 7, settings, [4, 5, 6], limit=33, stops=[9, 8, 7])]))
    slot = world.slot(5)
    floats = {"temperature": 0.75, "top_p": 0.5, "min_p": 0.25, "presence": 1.5, "frequency": -0.5, "repetition": 1.25}
    assert {name: np.int32(slot[name]).view(np.float32) for name in floats} == floats
    integers = {"length": 3, "prompt_length": 7, "limit": 33, "top_k": 9, "choice": 4, "logprobs": 3, "bias_count": 2}
    assert {name: slot[name] for name in integers} == integers
    assert (slot["seed_low"], np.uint32(slot["seed_high"] & 0xFFFFFFFF)) == (5, 2**31)
    bias = world.section("bias", PLAN.max_sequences, MAX_LOGIT_BIAS, 2)[5, :2]
    assert bias[:, 0].tolist() == [1, 60]
    assert bias[:, 1].copy().view(np.float32).tolist() == [2.5, -3.0]
    assert world.section("stops", PLAN.max_sequences, MAX_STOPS)[5, :3].tolist() == [9, 8, 7]


def start_run(steps: int, enters: list[Enter], tables: list[TableEdit], lengths: list[int]) -> World:
    """A world in which slots have `lengths` positions and a token that follows them, and begin a run."""
    world = World(PLAN, CACHES, VOCAB, max_steps=8)
    known = [Span(s, Kind.PROMPT, 0, [3] * n) for s, n in enumerate(lengths)]
    world.take(Batch(known, enters, tables))
    world.run("rows")
    world.run("finish")
    for slot, length in enumerate(lengths):
        world.history(slot)[length] = 50
    spans = [Span(s, Kind.GENERATED, n, None, 1, sample=True) for s, n in enumerate(lengths)]
    world.take(Batch(spans, steps=steps))
    return world


def run_step(world: World, tokens: list[int]) -> list[int]:
    """One step of a run in which each running slot draws its token; the positions of the step's rows."""
    world.run("rows")
    positions = world.section("row_position", PLAN.max_rows)[: len(tokens)].tolist()
    draws = world.draws()
    step = world.step["step"]
    for number, token in enumerate(tokens):
        world.drawn()[step, number, DRAWN.index("token")] = token
        if draws[number]["position"] != INACTIVE:
            world.history(number)[draws[number]["position"]] = max(token, 0)
    assert [d["position"] for d in draws] == [p if p == INACTIVE else p + 1 for p in positions]
    world.run("finish")
    return positions


def blocks(slot: int, count: int) -> list[TableEdit]:
    return [TableEdit(cache, slot, 0, list(range(count))) for cache in range(CACHES)]


def test_a_run_stops_slots_one_by_one() -> None:
    settings = Sampling()
    enters = [
        Enter(0, 2, settings, stops=[11, 12]),  # draws a stop token
        Enter(1, 2, settings, limit=6),  # draws positions 4 and 5
        Enter(2, 2, settings),  # finds no number
        Enter(3, 2, settings),  # has blocks for rows 0 .. 3
        Enter(4, 2, settings),  # goes on
    ]
    tables = [edit for slot in range(5) for edit in blocks(slot, 1 if slot == 3 else 9)]
    tables.append(TableEdit(0, 3, 1, [7]))  # only one cache group has a second block
    world = start_run(6, enters, tables, [3, 3, 3, 3, 3])
    assert world.step["running"] == 5
    assert run_step(world, [20, 21, NO_NUMBER, 23, 24]) == [3, 3, 3, 3, 3]
    assert world.step["running"] == 3
    assert world.slot(3)["stopped"] == NO_BLOCK
    assert run_step(world, [12, 21, GARBAGE, GARBAGE, 24]) == [4, 4, INACTIVE, INACTIVE, 4]
    assert world.step["running"] == 1
    assert [world.slot(s)["stopped"] for s in range(5)] == [1, 1, 1, NO_BLOCK, 0]
    assert run_step(world, [GARBAGE] * 4 + [24]) == [INACTIVE] * 4 + [5]
    assert [world.slot(s)["length"] for s in range(5)] == [5, 5, 4, 4, 6]
    tokens = world.section("row_token", PLAN.max_rows)[:5]
    assert tokens.tolist() == [0, 0, 0, 0, 24]
    assert world.section("row_slot", PLAN.max_rows)[:5].tolist() == [0, 1, 2, 3, 4]


def test_a_run_ends_at_the_context() -> None:
    world = start_run(4, [Enter(0, 2, Sampling())], blocks(0, PLAN.blocks_per_sequence), [PLAN.context - 2])
    assert run_step(world, [9]) == [PLAN.context - 2]
    assert world.step["running"] == 1
    assert run_step(world, [9]) == [PLAN.context - 1]
    assert world.step["running"] == 0
    assert world.slot(0)["stopped"] == 1


def test_the_first_step_of_a_run_draws_for_slots_that_stopped_before() -> None:
    enters = [Enter(0, 2, Sampling(), stops=[50]), Enter(1, 2, Sampling(), limit=4)]
    world = start_run(4, enters, [*blocks(0, 9), *blocks(1, 9)], [3, 3])
    assert world.step["running"] == 2
    assert run_step(world, [8, 9]) == [3, 3]
    assert [world.slot(s)["stopped"] for s in range(2)] == [0, 1]


def test_limits_mean_nothing_to_a_single_step() -> None:
    world = start_run(1, [Enter(0, 2, Sampling(), limit=1, stops=[50])], [], [3])
    assert world.step["running"] == 1
    assert run_step(world, [50]) == [3]
    assert world.slot(0)["stopped"] == 0


def test_records_have_the_lengths_that_the_shaders_assume() -> None:
    """A packet of every section, read to its last word."""
    batch = random_batch(np.random.default_rng(3), StepState(PLAN, CACHES), PLAN)
    sections = ((SPAN, batch.spans), (ENTER, batch.enters), (TABLE, batch.tables), (MASK, batch.masks))
    words = len(HEADER.words) + sum(len(record.words) * len(section) for record, section in sections)
    assert len(batch.encode()) == words + batch.encode()[HEADER.index("pool")]
