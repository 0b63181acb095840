"""append and attend, whole and divided, against the reference; float16 as NumPy rounds it; the same bits either way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from ostinato.backends.batch import Batch, Enter, Span, TableEdit
from ostinato.backends.batch_table import Kind
from ostinato.backends.contract import Plan
from ostinato.backends.device.state_table import ATTEND_SPLIT, INACTIVE
from ostinato.backends.reference import ops
from ostinato.backends.sampling import Sampling
from ostinato.backends.stepstate import StepState
from tests.backends import reference_op
from tests.backends.cases import EXACT, nmse
from tests.backends.webgpu.support import needs_adapter
from tests.backends.webgpu.world import GARBAGE, World

pytestmark = needs_adapter


@dataclass(frozen=True)
class Shape:
    heads: int
    kv_heads: int
    key_dim: int
    value_dim: int
    half: int

    @property
    def words(self) -> dict[str, float]:
        """Of append, attend and its divided forms, as far as they have them."""
        return {
            "heads": self.heads, "kv_heads": self.kv_heads, "key_dim": self.key_dim, "value_dim": self.value_dim,
            "half": self.half, "scale": self.key_dim**-0.5,
        }  # fmt: skip

    @property
    def dtype(self) -> type[np.floating]:
        return np.float16 if self.half else np.float32

    @property
    def block(self) -> tuple[int, int]:
        """Elements of keys and of values of a position."""
        return self.kv_heads * self.key_dim, self.kv_heads * self.value_dim


SHAPES = [
    Shape(4, 2, 32, 32, 0), Shape(6, 2, 40, 24, 0), Shape(3, 3, 80, 80, 0), Shape(2, 1, 256, 256, 0),
    Shape(8, 2, 128, 128, 1), Shape(5, 1, 24, 40, 1), Shape(2, 1, 256, 6, 1), Shape(4, 4, 64, 64, 1),
]  # fmt: skip


class Attention:
    """One layer's keys and values, random and paged, on the device and in the reference, and a step of rows."""

    def __init__(self, shape: Shape, batch: Batch, plan: Plan, groups: int = 3) -> None:
        random = np.random.default_rng(shape.key_dim + shape.heads)
        self.shape, self.plan, self.rows = shape, plan, batch.rows
        keys, values = (
            random.normal(size=(1, plan.blocks, plan.block_size, shape.kv_heads, dim)).astype(shape.dtype)
            for dim in (shape.key_dim, shape.value_dim)
        )
        state = StepState(plan, 1)
        caches = [tuple(x.reshape(1, plan.blocks * plan.block_size, -1).copy() for x in (keys, values))]
        self._step = reference_op.step(state.apply(batch), plan, batch, state, caches=caches)
        width = shape.heads * max(shape.key_dim, shape.value_dim)
        widths = {"q": shape.heads * shape.key_dim, "k": shape.block[0], "v": shape.block[1]}
        self.inputs = {name: random.normal(size=(batch.rows, n)).astype(np.float32) for name, n in widths.items()}
        self.places = {name: 64 + i * batch.rows * width for i, name in enumerate(("q", "k", "v", "out"))}
        self.places["partials"] = 64 + 4 * batch.rows * width
        splits = -(-plan.context // ATTEND_SPLIT)
        scratch = plan.max_sequences * shape.heads * splits * (shape.value_dim + 2)
        self.world = World(plan, 1, arena=self.places["partials"] + scratch + 64, groups=groups)
        self.world.kv = self._paged(keys[0], values[0])
        for name, value in self.inputs.items():
            self._floats(name, value.size)[:] = value.reshape(-1)
        self.world.take(batch)
        self.world.run("rows")

    def append(self) -> None:
        self.world.run("append", k=self.places["k"], v=self.places["v"], **self._words("append"))

    def attend(self) -> np.ndarray:
        """float32 [T, heads x value_dim] of all three phases."""
        calls = [
            ("attend", {name: self.places[name] for name in ("q", "out")}),
            ("attend_split", {name: self.places[name] for name in ("q", "partials")}),
            ("attend_merge", {name: self.places[name] for name in ("out", "partials")}),
        ]
        self.world.run_calls(*((phase, places | self._words(phase)) for phase, places in calls))
        return self._floats("out", self.rows * self.shape.heads * self.shape.value_dim).reshape(self.rows, -1).copy()

    def wanted_kv(self) -> np.ndarray:
        """The words of the cache after the reference's append."""
        ops.append(self._step, self.inputs["k"], self.inputs["v"], cache=0, index=0)
        plan, shape = self.plan, self.shape
        keys, values = (x.reshape(plan.blocks, plan.block_size, shape.kv_heads, -1) for x in self._step.caches[0])
        return self._paged(keys, values)

    def wanted(self) -> np.ndarray:
        fields = {k: v for k, v in self.shape.words.items() if k != "half"}
        return reference_op.call("attend", self._step, self.inputs["q"], cache=0, index=0, **fields)

    def _words(self, phase: str) -> dict[str, float]:
        return {k: v for k, v in self.shape.words.items() if phase != "append" or k not in ("heads", "scale")}

    def _paged(self, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
        """[blocks, block_size, kv_heads, dim] -> words as devices have them."""
        parts = [x.transpose(0, 2, 1, 3).reshape(self.plan.blocks, -1) for x in (keys, values)]
        return np.concatenate(parts, axis=1).reshape(-1).view(np.uint32).copy()

    def _floats(self, name: str, count: int) -> np.ndarray:
        at = self.places[name]
        return self.world.arena[at : at + count].view(np.float32)


def scattered(slot: int, plan: Plan) -> TableEdit:
    """Blocks of a slot, mixed with those of the others."""
    blocks = np.arange(slot, plan.max_sequences * plan.blocks_per_sequence, plan.max_sequences)
    return TableEdit(0, slot, 0, np.random.default_rng(slot).permutation(blocks)[: plan.blocks_per_sequence].tolist())


def mixed(plan: Plan, prompts: list[tuple[int, int]], generated: list[tuple[int, int]]) -> Batch:
    """Spans of (start, count) in slots of their own."""
    spans = [
        Span(slot, kind, start, [1] * count)
        for slot, (kind, (start, count)) in enumerate(
            [*((Kind.PROMPT, p) for p in prompts), *((Kind.GENERATED, g) for g in generated)]
        )
    ]
    enters = [Enter(span.slot, 1, Sampling()) for span in spans]
    return Batch(spans, enters, [scattered(span.slot, plan) for span in spans])


PLAN = Plan(max_rows=64, max_sequences=5, context=1100, blocks=5 * 138, block_size=8)
BATCH = mixed(PLAN, [(0, 3), (510, 4)], [(1090, 2), (254, 2), (767, 1)])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_append_and_attend(shape: Shape) -> None:
    attention = Attention(shape, BATCH, PLAN)
    attention.append()
    np.testing.assert_array_equal(attention.world.kv, attention.wanted_kv())
    assert nmse(attention.attend(), attention.wanted()) <= EXACT


@pytest.mark.parametrize("groups", [1, 7, 64])
def test_any_number_of_workgroups_gives_the_same_bits(groups: int) -> None:
    found = []
    for count in (groups, 3):
        attention = Attention(SHAPES[1], BATCH, PLAN, count)
        attention.append()
        found.append((attention.world.kv, attention.attend()))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])


@pytest.mark.parametrize("shape", [SHAPES[0], SHAPES[5]], ids=str)
def test_divided_and_whole_rows_give_the_same_bits(shape: Shape) -> None:
    """Six generated rows of one slot are more than the scratch holds; one by one they are divided."""
    plan = Plan(max_rows=16, max_sequences=5, context=1100, blocks=5 * 138, block_size=8)
    whole = Attention(shape, mixed(plan, [], [(508, 6)]), plan)
    together = whole.attend()
    for row in range(6):
        alone = Attention(shape, mixed(plan, [], [(508 + row, 1)]), plan)
        query = alone._floats("q", whole.inputs["q"].shape[1])
        query[:] = whole.inputs["q"][row]
        np.testing.assert_array_equal(alone.attend()[0], together[row])


def test_inactive_rows_write_nothing_and_are_zero() -> None:
    attention = Attention(SHAPES[0], BATCH, PLAN)
    last = BATCH.rows - 1
    attention.world.section("row_position", PLAN.max_rows)[last] = INACTIVE
    before = attention.world.kv.copy()
    attention.append()
    assert np.count_nonzero(before != attention.world.kv) == sum(attention.shape.block) * last
    attention.wanted_kv()
    wanted, found = attention.wanted(), attention.attend()
    assert nmse(found[:last], wanted[:last]) <= EXACT
    assert not found[last].any()


def test_float16_is_rounded_as_numpy_rounds() -> None:
    """To nearest, ties to even: all classes of floats, both neighbours of every tie among some thousand."""
    random = np.random.default_rng(5)
    halves = random.integers(0, 0x7C00, 4000).astype(np.uint16).view(np.float16).astype(np.float32)
    up = np.nextafter(halves.astype(np.float16), np.float16(np.inf)).astype(np.float32)
    ties = ((halves.astype(np.float64) + np.minimum(up, 65536)) / 2).astype(np.float32)
    special = [0.0, 65504, 65519.996, 65520, 1e9, 1e-8, 2.0**-25, 2.0**-24, 5.9e-8, 6.0e-8, 1e-45, np.inf, np.nan]
    values = np.concatenate([halves, ties, np.nextafter(ties, np.float32(0)), np.nextafter(ties, np.float32(1e30)),
                             np.array(special, np.float32), random.normal(size=3000).astype(np.float32)])  # fmt: skip
    values = np.concatenate([values, -values])
    plan = Plan(max_rows=256, max_sequences=1, context=256, blocks=16, block_size=16)
    shape = Shape(1, 1, 128, 2, 1)
    values = np.resize(values, (256, shape.key_dim))
    attention = Attention(shape, mixed(plan, [(0, 256)], []), plan)
    attention.inputs["k"] = values
    attention._floats("k", values.size)[:] = values.reshape(-1)
    attention.append()
    with np.errstate(over="ignore"):
        wanted = attention.wanted_kv().view(np.float16)
    np.testing.assert_array_equal(attention.world.kv.view(np.float16), wanted)


def test_nothing_is_written_elsewhere() -> None:
    attention = Attention(SHAPES[4], BATCH, PLAN)
    attention.attend()
    assert (attention.world.arena[:64] == GARBAGE).all()
    assert (attention.world.arena[-64:] == GARBAGE).all()
