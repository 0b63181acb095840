"""CUDA's phases between the matrix products, on the host: against the reference, NumPy, and each other."""

from __future__ import annotations

import numpy as np
import pytest

from ostinato.backends.device.phases_table import packed_words
from ostinato.backends.reference import ReferenceBackend
from ostinato.gguf.types_table import TensorType
from ostinato.model.kinds_table import Activation, RopeStyle
from ostinato.program.builder import Builder
from tests.backends.cases import BLOCK_CASES, CASES, OpCase, Weights, nmse, run_case
from tests.backends.cuda import sums
from tests.backends.cuda.host import HostBackend
from tests.backends.cuda.small import GRIDS, Floats, Small
from tests.support import same_bits

NAMES = ("embed", "rms_norm", "rope", "glu", "add")
ELEMENTWISE = [case for case in CASES if case.name.split()[0] in NAMES and case not in BLOCK_CASES]


def rows(count: int, width: int) -> Floats:
    return np.random.default_rng(width).standard_normal((count, width), np.float32)


@pytest.mark.parametrize("case", ELEMENTWISE, ids=lambda case: case.name)
def test_agrees_with_the_reference(case: OpCase) -> None:
    wanted = run_case(case, ReferenceBackend())
    for found, reference in zip(run_case(case, HostBackend()), wanted, strict=True):
        assert nmse(found, reference) <= case.nmse


def test_neither_the_grid_nor_company_changes_a_bit() -> None:
    def build(b: Builder, w: Weights, x: str) -> str:
        gains = (w.normal(name, (width,), TensorType.F32) for name, width in (("g", 900), ("h", 90)))
        whole, heads = (
            b.add("rms_norm", x, weights=(g,), eps=1e-5, groups=n) for g, n in zip(gains, (1, 10), strict=True)
        )
        angles = b.add("angles", weights=(None,), dims=30, base=500.0)
        turned = b.add("rope", heads, angles, heads=10, style=RopeStyle.NEOX)
        return b.add("add", b.add("glu", whole, turned, act=Activation.SILU), x)

    small = Small(rows(7, 900), build)
    wanted = small.run(range(2), range(2, 7))
    for grid in GRIDS:
        assert same_bits(small.run(range(2), range(2, 7), grid=grid), wanted), grid
    for row in range(2, 7):
        assert same_bits(small.run((), [row], start=row - 2), wanted[row : row + 1]), row


@pytest.mark.parametrize("width", [1, 31, 256, 257, 1000, 8192, 8193, 20000])
def test_norms_of_any_length(width: int) -> None:
    def build(b: Builder, w: Weights, x: str) -> str:
        return b.add("rms_norm", x, weights=(w.put("gain", np.linspace(-1, 2, width, dtype=np.float32)),), eps=1e-6)

    table = rows(3, width)
    exact = table / np.sqrt(np.mean(table.astype(np.float64) ** 2, axis=1, keepdims=True) + 1e-6)
    small = Small(table, build)
    found = small.run(range(3))
    np.testing.assert_allclose(found, exact * np.linspace(-1, 2, width, dtype=np.float32), rtol=1e-6, atol=1e-30)
    for grid in GRIDS:
        assert same_bits(small.run(range(3), grid=grid), found), grid


@pytest.mark.parametrize("group", [32, 256])
def test_packed_rows_are_as_sums_md_says(group: int) -> None:
    width = 32 * 11 if group == 32 else 256 * 3
    table = rows(9, width)
    table[1], table[2], table[3] = 0, table[2] * np.float32(1e-37), table[3] * np.float32(1e37)
    table[4, -1], table[5, 0], table[6, width // 2] = np.inf, -np.inf, np.nan
    table[7, :group] = np.float32(2.0**-120) * np.linspace(-1, 1, group, dtype=np.float32)
    table[8] = np.resize(np.float32([127, 0.5, -0.5, 1.5, 2.5, -126.5]), width)  # ties
    found = packed(table, group)
    quants, scales = sums.pack(table, group)
    stride, sixteens = packed_words(width, group), quants.reshape(9, -1, 16).sum(axis=2)
    assert found.shape == (9, stride)
    np.testing.assert_array_equal(found[:, : width // 4].copy().view(np.int8), quants.reshape(9, -1))
    np.testing.assert_array_equal(found[:, width // 4 :][:, : width // 32].copy().view(np.int16), sixteens)
    end = width // 4 + width // 32 + width // group
    assert same_bits(found[:, end - width // group : end].copy().view(np.float32), scales)


def packed(table: Floats, group: int) -> np.ndarray:
    """int32 [rows, packed_words] as the phase leaves them."""
    kind = TensorType.Q8_0 if group == 32 else TensorType.Q4_K

    def build(b: Builder, w: Weights, x: str) -> str:
        return b.add("linear", x, weights=(w.normal("w", (1, table.shape[1]), kind), None))

    small = Small(table, build)
    small.run(range(len(table)))
    place, stride = int(small.machine.calls[small.call("pack")].words["out"]), packed_words(table.shape[1], group)
    return small.machine.words("arena")[place : place + len(table) * stride].reshape(-1, stride)


@pytest.mark.parametrize("base", [1e4, 1e6])
def test_angles_at_far_positions(base: float) -> None:
    """Frequencies and products rounded to float32 as the op says; at 131072 a unit in the last place would be 0.008."""
    dims, start = 128, 131072 - 4

    def build(b: Builder, w: Weights, x: str) -> str:
        return b.add("angles", weights=(None,), dims=dims, base=base)

    found = Small(rows(4, 8), build, context=131072).run(range(4), start=start)
    exponent = np.arange(0, dims, 2, dtype=np.float32) / np.float32(dims)
    frequency = (float(np.float32(base)) ** -exponent.astype(np.float64)).astype(np.float32)
    theta = (np.arange(start, start + 4, dtype=np.float32)[:, None] * frequency).astype(np.float64)
    wanted = np.stack([np.cos(theta), np.sin(theta)], axis=-1).reshape(4, dims)
    np.testing.assert_allclose(found, wanted, atol=2e-7)
