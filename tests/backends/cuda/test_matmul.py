"""CUDA's linears and experts on the host: against the reference, bit for bit against their sums, and in any company."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from ostinato.backends.cuda.machine import GENERATED_ONLY
from ostinato.backends.device.lower import lower
from ostinato.backends.device.planes import FORMATS, row_bytes
from ostinato.backends.reference import ReferenceBackend
from ostinato.gguf.types_table import TensorType
from ostinato.model.kinds_table import Activation
from ostinato.program.builder import Builder
from tests.backends.cases import BLOCK_CASES, CASES, FIELD_CASES, OpCase, Weights, nmse, run_case
from tests.backends.cuda import host, sums
from tests.backends.cuda.host import HostBackend
from tests.backends.cuda.small import GRIDS, Floats, Small, raw
from tests.support import same_bits

COMMON = [case for case in CASES if case not in BLOCK_CASES + FIELD_CASES]
MATMULS = [case for case in COMMON if case.name.startswith(("linear", "experts"))]
# Row lengths by bytes (floats) and by elements of a block: lanes without work, several rounds of all lanes.
ODD_FLOATS = {4: (1, 7, 172, 389), 2: (2, 44, 261, 600)}
ODD_BLOCKS = {32: (32, 96, 1056), 256: (256, 768, 2304)}
# A type for each shape of sums: what is not of one format is asked of these.
SHAPES = (TensorType.F32, TensorType.F16, TensorType.Q8_0, TensorType.Q4_1, TensorType.Q4_K, TensorType.Q6_K)


def widths(kind: TensorType) -> tuple[int, ...]:
    return ODD_FLOATS[kind.block_bytes] if kind.block_elements == 1 else ODD_BLOCKS[kind.block_elements]


def rows(count: int, width: int, seed: int = 5) -> Floats:
    return np.random.default_rng(seed).standard_normal((count, width), np.float32)


def strange_rows(width: int) -> Floats:
    """Ordinary rows, and zeros, tiny and huge ones, an infinity, a NaN."""
    x = rows(9, width)
    x[1], x[2], x[3] = 0, x[2] * np.float32(1e-37), x[3] * np.float32(1e37)
    x[4, -1], x[5, 0], x[6, width // 2] = np.inf, -np.inf, np.nan
    return x


def linear(table: Floats, kind: TensorType, n: int, early: bool = False) -> Small:
    """Rows of `table` times n rows of raw blocks; `early`: of the rows that produce logits only."""

    def build(b: Builder, w: Weights, x: str) -> str:
        weight = raw(w, "w", kind, (n, table.shape[1]), np.random.default_rng(n))
        return b.add("linear", b.add("select", x) if early else x, weights=(weight, None))

    return Small(table, build)


def experts(table: Floats, kind: TensorType, count: int = 5, used: int = 2, hidden: int = 256) -> Small:
    width = table.shape[1]

    def build(b: Builder, w: Weights, x: str) -> str:
        router = w.normal("router", (count, width), TensorType.F32)
        ids, weights = b.add_many("route", x, weights=(router,), top_k=used)
        order, offsets = b.add_many("group", ids, experts=count)
        shapes = {"gate": (count, hidden, width), "up": (count, hidden, width), "down": (count, width, hidden)}
        stacks = tuple(w.normal(name, shape, kind) for name, shape in shapes.items())
        return b.add("combine", b.add("experts", x, order, offsets, weights=stacks, act=Activation.GELU), weights)

    return Small(table, build)


@pytest.mark.parametrize("case", MATMULS, ids=lambda case: case.name)
def test_agrees_with_the_reference(case: OpCase) -> None:
    wanted = run_case(case, ReferenceBackend())
    for found, reference in zip(run_case(case, HostBackend()), wanted, strict=True):
        assert nmse(found, reference) <= case.nmse


@pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.name)
def test_sums_are_those_of_numpy(kind: TensorType) -> None:
    for width in widths(kind):
        table = strange_rows(width)
        small = linear(table, kind, 7)
        data = small.machine.tensors["w"].data.reshape(7, -1)
        assert same_bits(small.run(range(9)), sums.dot(kind, data, table)), width


@pytest.mark.parametrize("kind", SHAPES, ids=lambda kind: kind.name)
def test_a_row_is_the_same_alone_and_in_a_crowd(kind: TensorType) -> None:
    small = linear(rows(21, 512), kind, 10)
    wanted = small.run(range(21))
    for count in (1, 2, 3, 4, 5, 7, 8, 9, 17):
        assert same_bits(small.run(range(count)), wanted[:count]), count
        assert same_bits(small.run(range(21 - count), range(21 - count, 21)), wanted), count
    assert same_bits(small.run((), [20]), wanted[20:])


@pytest.mark.parametrize("kind", SHAPES, ids=lambda kind: kind.name)
def test_a_row_meets_its_experts_the_same_in_any_company(kind: TensorType) -> None:
    small = experts(rows(19, 256), kind)
    wanted = small.run(range(19))
    assert same_bits(small.run(range(6), range(6, 19)), wanted)
    for row in (0, 7, 18):
        assert same_bits(small.run((), [row]), wanted[row : row + 1])


@pytest.mark.parametrize("kind", SHAPES, ids=lambda kind: kind.name)
def test_the_grid_changes_no_bit(kind: TensorType) -> None:
    for small in (
        linear(rows(11, 768), kind, 33),
        linear(rows(3, 256), kind, 2, early=True),
        experts(rows(7, 256), kind),
    ):
        count = small.machine.plan.max_rows
        wanted = small.run(range(2), range(2, count))
        for grid in GRIDS:
            assert same_bits(small.run(range(2), range(2, count), grid=grid), wanted), grid


@pytest.mark.parametrize("kind", SHAPES, ids=lambda kind: kind.name)
def test_one_expert_is_two_linears_and_a_third(kind: TensorType) -> None:
    table = rows(10, 256)

    def apart(b: Builder, w: Weights, x: str) -> str:
        w.normal("router", (1, 256), TensorType.F32)
        gate, up, down = (w.normal(name, (256, 256), kind) for name in ("gate", "up", "down"))
        opened = b.add("linear", x, weights=(gate, None))
        hidden = b.add("glu", opened, b.add("linear", x, weights=(up, None)), act=Activation.GELU)
        return b.add("linear", hidden, weights=(down, None))

    assert same_bits(experts(table, kind, count=1, used=1).run(range(10)), Small(table, apart).run(range(10)))


@pytest.mark.parametrize("phase", ["linear", "experts_in", "experts_out"])
def test_prompt_rows_can_be_left_to_another_kernel(phase: str) -> None:
    table, kind = rows(9, 256), TensorType.Q4_K
    small = linear(table, kind, 6) if phase == "linear" else experts(table, kind, used=1)
    machine, batch = small.machine, small.batch(range(4), range(4, 9))
    machine.begin(batch)
    for call in range(1, small.call(phase)):
        machine.run(call)
    words = machine.calls[small.call(phase)].words
    out = machine.floats(int(words["out"]), 9, int(words["n"]))
    machine.run(small.call(phase))
    wanted = out.copy()
    out[:] = np.nan
    machine.run(small.call(phase), flags=GENERATED_ONLY)
    assert np.isnan(out[:4]).all()
    assert same_bits(out[4:], wanted[4:])


@pytest.mark.parametrize("kind", SHAPES, ids=lambda kind: kind.name)
def test_a_weight_in_slices_is_the_same_weight(kind: TensorType, monkeypatch: pytest.MonkeyPatch) -> None:
    table, row = rows(6, 256), row_bytes(kind, 256)
    wanted = [linear(table, kind, 35).run(range(6)), experts(table, kind).run(range(6))]
    for whole, make, limit, phase in (
        (wanted[0], lambda: linear(table, kind, 35), 8 * row, "linear"),
        (wanted[1], lambda: experts(table, kind), 2 * 256 * row, "experts_in"),
    ):
        monkeypatch.setattr(host, "lower", partial(lower, max_weight_bytes=limit))
        small = make()
        assert sum(call.phase == phase for call in small.machine.calls) > 1
        assert same_bits(small.run(range(6)), whole)
