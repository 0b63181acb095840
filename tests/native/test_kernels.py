"""The packed linear kernels: every level against sums.md done in NumPy, each other, and plain dot products.

native/cpu/sums.md fixes every sum bit for bit; `emulate` (sums.py) is written from that text alone.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from functools import lru_cache
from operator import attrgetter

import numpy as np
import pytest
from numpy.typing import NDArray

from ostinato.gguf.blocks import FORMATS
from ostinato.gguf.types_table import TensorType
from tests.gguf.blocks import oracle, put_scales, random_blocks, scales
from tests.native.sums import emulate
from tests.support import same_bits

native = pytest.importorskip(
    "ostinato._kernels_test", reason="ostinato._kernels_test is part of development installations only"
)

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

TYPES = sorted(FORMATS)
QUANTISED = [type for type in TYPES if type.block_elements > 1]
ON_ARM = platform.machine() in ("aarch64", "arm64")
NAMES = ("portable", *(("neon", "i8mm") if ON_ARM else ("avx2", "avx512", "amx")))
NAME = attrgetter("name")
POISON = np.float32(-12345.5)
GUARD = 64  # floats before and after the outputs


@lru_cache
def level(name: str, prompt: bool = False) -> native.Level:
    try:
        return native.Level(name, prompt)
    except ValueError as error:
        pytest.skip(str(error))


@pytest.fixture(params=NAMES)
def any_level(request: pytest.FixtureRequest) -> native.Level:
    return level(request.param)


@pytest.fixture(params=NAMES[1:])
def vector_level(request: pytest.FixtureRequest) -> native.Level:
    return level(request.param)


def widths(type: TensorType) -> list[int]:
    """Columns that cover one block, odd counts of blocks, and tails of the 64 float lanes."""
    if type.block_elements == 1:
        return [1, 64, 172, 1000]
    return [type.block_elements, 3 * type.block_elements, 9 * type.block_elements]


def weights(type: TensorType, n: int, k: int, rng: np.random.Generator) -> Bytes:
    """Every byte pattern there is, but scales (or floats) of ordinary size: [n, bytes per row]."""
    return random_blocks(type, n * k // type.block_elements, rng).reshape(n, -1)


def aligned(size: int) -> Bytes:
    raw = np.full(size + 64, 0xA5, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size]


def pack(kernels: native.Level, type: TensorType, x: Floats) -> Bytes:
    out = aligned(len(x) * kernels.packed_bytes(type, x.shape[1]))
    kernels.pack(type, x.reshape(-1), x.shape[1], out)
    return out


def matmul(kernels: native.Level, type: TensorType, w: Bytes, x: Floats, *, shift: int = 3, gap: int = 6) -> Floats:
    """x [rows, k] times w [n, bytes per row], from unaligned rows `gap` bytes apart, between checked guards."""
    n, row_bytes = w.shape
    rows, k = x.shape
    stride = row_bytes + gap
    memory = aligned(shift + n * stride + 64)  # exactly what the rows need, plus the alignment of the allocation
    spread = memory[shift : shift + n * stride].reshape(n, stride)
    spread[:, :row_bytes] = w
    out_stride = n + 5
    out = np.full(2 * GUARD + rows * out_stride, POISON)
    end = GUARD + rows * out_stride
    kernels.matmul(type, memory[shift:], n, stride, k, pack(kernels, type, x), rows, out[GUARD:end], out_stride)
    table = out[GUARD:end].reshape(rows, out_stride)
    assert np.all(out[:GUARD] == POISON)
    assert np.all(out[end:] == POISON)
    assert np.all(table[:, n:] == POISON)
    return table[:, :n].copy()


# ---- the sums


@pytest.mark.parametrize("type", TYPES, ids=NAME)
def test_is_what_sums_md_says(any_level: native.Level, type: TensorType) -> None:
    rng = np.random.default_rng(1)
    for k in widths(type):
        w, x = weights(type, 7, k, rng), rng.standard_normal((5, k), np.float32)
        assert same_bits(matmul(any_level, type, w, x), emulate(type, w, x)), k


@pytest.mark.parametrize("type", TYPES, ids=NAME)
def test_levels_agree(vector_level: native.Level, type: TensorType) -> None:
    rng = np.random.default_rng(2)
    for k in [*widths(type), 2048 + (32 if type.block_elements == 32 else 0), 8192]:
        n = 37 if k < 1000 else 9
        w, x = weights(type, n, k, rng), rng.standard_normal((33, k), np.float32)
        assert np.array_equal(pack(vector_level, type, x), pack(level("portable"), type, x)), k
        expected = matmul(level("portable"), type, w, x)
        for rows in (1, 2, 3, 4, 7, 33):
            assert same_bits(matmul(vector_level, type, w, x[:rows]), expected[:rows]), (k, rows)


@pytest.mark.parametrize("type", [TensorType.Q4_0, TensorType.Q8_0, TensorType.Q4_K], ids=NAME)
def test_rows_longer_than_what_stays_near(vector_level: native.Level, type: TensorType) -> None:
    rng = np.random.default_rng(10)
    k = 2 * 8192 + 512 + (32 if type.block_elements == 32 else 0)
    w, x = weights(type, 11, k, rng), rng.standard_normal((2, k), np.float32)
    expected = matmul(level("portable"), type, w, x)
    for rows in (1, 2):
        assert same_bits(matmul(vector_level, type, w, x[:rows]), expected[:rows])


@pytest.mark.parametrize("type", TYPES, ids=NAME)
def test_a_row_does_not_see_its_company(any_level: native.Level, type: TensorType) -> None:
    rng = np.random.default_rng(3)
    k = 512 if type.block_elements > 1 else 172
    w, x = weights(type, 67, k, rng), rng.standard_normal((300, k), np.float32)
    together = matmul(any_level, type, w, x)
    for row in (0, 1, 31, 255, 256, 299):
        assert same_bits(matmul(any_level, type, w, x[row : row + 1]), together[row : row + 1])
    for n in (1, 3, 8, 16, 31, 33):  # nor does a column
        assert same_bits(matmul(any_level, type, w[:n], x[:33]), together[:33, :n])


@pytest.mark.parametrize("type", TYPES, ids=NAME)
def test_near_the_dot_product(any_level: native.Level, type: TensorType) -> None:
    """Rounding to 8 bits errs by a uniform +-d/2, d = max |x| / 127: for normal x of 256 (of 32) values the
    largest is about 3 (2) deviations, so the error's energy is about (3 / 127)^2 / 12 = 5e-5 (2e-5) of x's."""
    rng = np.random.default_rng(4)
    k = 2048
    w, x = weights(type, 64, k, rng), rng.standard_normal((16, k), np.float32)
    exact = x.astype(np.float64) @ dequantized(type, w).astype(np.float64).T
    error = np.sum((matmul(any_level, type, w, x) - exact) ** 2) / np.sum(exact**2)
    assert error < (1e-12 if type.block_elements == 1 else 1e-4 if type.block_elements == 256 else 5e-5)


def dequantized(type: TensorType, w: Bytes) -> Floats:
    return oracle(w.reshape(-1, type.block_bytes), type).reshape(len(w), -1)


# ---- extremes


@pytest.mark.parametrize("type", QUANTISED, ids=NAME)
@pytest.mark.parametrize("byte", [0x00, 0x7F, 0x80, 0xFF])
def test_extreme_quants_are_exact(any_level: native.Level, type: TensorType, byte: int) -> None:
    """All quants and sub-scales at their bounds (-128 too), all activations at +-127: nothing saturates."""
    k = 512
    blocks = np.full((3 * k // type.block_elements, type.block_bytes), byte, np.uint8)
    put_scales(blocks, type, np.full((len(blocks), 1), scales(type).one))
    w = blocks.reshape(3, -1)
    for x in (np.ones((5, k), np.float32), -np.ones((5, k), np.float32)):
        assert same_bits(matmul(any_level, type, w, x), emulate(type, w, x))


@pytest.mark.parametrize("type", QUANTISED, ids=NAME)
def test_sums_near_and_beyond_16_bits(vector_level: native.Level, type: TensorType) -> None:
    """Rows with none to 32 of each 32 activations at +-127, on quants at their bounds: whatever a kernel decides by
    the size of activations, alone or in company, the sums are the same."""
    rng = np.random.default_rng(9)
    k, loud = 768, np.repeat(np.arange(33), 2)[1:]
    blocks = np.full((35 * k // type.block_elements, type.block_bytes), 0xFF, np.uint8)
    blocks[::2] = np.where(rng.random(blocks[::2].shape) < 0.5, 0, 0xFF)
    put_scales(blocks, type, np.full((len(blocks), 1), scales(type).one))
    w, x = blocks.reshape(35, -1), rng.uniform(-0.2, 0.2, (len(loud), k)).astype(np.float32)
    for row, count in zip(x, loud, strict=True):
        row.reshape(-1, 32)[:, :count] = rng.choice([-1, 1], p=[0.02, 0.98], size=(k // 32, count))
    x[1::2] *= -1
    expected = matmul(level("portable"), type, w, x)
    assert same_bits(expected[::8], emulate(type, w, x[::8]))
    assert same_bits(matmul(vector_level, type, w, x), expected)
    for first in range(0, len(x), 9):
        assert same_bits(matmul(vector_level, type, w, x[first : first + 9]), expected[first : first + 9])


@pytest.mark.parametrize("type", TYPES, ids=NAME)
def test_hostile_scales(vector_level: native.Level, type: TensorType) -> None:
    """Any bytes at all: infinities and NaN come out as the arithmetic gives them, the same at every level."""
    rng = np.random.default_rng(5)
    k = 512
    w = rng.integers(0, 256, (40, k // type.block_elements * type.block_bytes), np.uint8)
    if type in QUANTISED:
        for row in w[:30]:
            blocks = row.reshape(-1, type.block_bytes)
            put_scales(blocks, type, rng.choice(scales(type).odd, (len(blocks), max(len(scales(type).at), 1))))
    x = rng.standard_normal((9, k), np.float32)
    expected = matmul(level("portable"), type, w, x)
    assert same_bits(matmul(vector_level, type, w, x), expected)
    assert same_bits(matmul(vector_level, type, w, x[:1]), expected[:1])
    assert type is TensorType.NVFP4 or not np.all(np.isfinite(expected))  # whose scales are all finite


@pytest.mark.parametrize("type", TYPES, ids=NAME)
@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
def test_activations_that_are_not_finite(any_level: native.Level, type: TensorType, bad: float) -> None:
    """A quantised row that holds one gives NaN, float weights give what IEEE 754 says; other rows are untouched."""
    rng = np.random.default_rng(6)
    w, x = weights(type, 5, 512, rng), rng.standard_normal((4, 512), np.float32)
    clean = matmul(any_level, type, w, x)
    x[2, 300] = bad
    got = matmul(any_level, type, w, x)
    assert not np.any(np.isfinite(got[2]))
    assert type.block_elements == 1 or np.all(np.isnan(got[2]))
    assert same_bits(got[[0, 1, 3]], clean[[0, 1, 3]])


@pytest.mark.parametrize("type", TYPES, ids=NAME)
def test_tiny_and_huge_activations(any_level: native.Level, type: TensorType) -> None:
    rng = np.random.default_rng(7)
    w, x = weights(type, 5, 512, rng), rng.standard_normal((6, 512), np.float32)
    x[0] = 0
    x[1] = -0.0
    x[2] *= np.float32(1e-39)
    x[3] *= np.float32(2.0**-118)
    x[4] *= np.float32(2.0**120)
    x[5, ::2] *= np.float32(1e-20)
    with np.errstate(all="ignore"):
        expected = emulate(type, w, x)
    got = matmul(any_level, type, w, x)
    assert same_bits(got[[0, 1, 4, 5]], expected[[0, 1, 4, 5]])  # float64 emulates no subnormal rounding
    assert same_bits(got, matmul(level("portable"), type, w, x))
    assert type.block_elements == 1 or not np.any(got[:3])


# ---- the rest of the table


@pytest.mark.parametrize("type", TYPES, ids=NAME)
def test_dequantize_as_gguf_does(any_level: native.Level, type: TensorType) -> None:
    rng = np.random.default_rng(8)
    k = 512
    w = weights(type, 50, k, rng)
    if type in QUANTISED:
        blocks = w[:25].reshape(-1, type.block_bytes)
        put_scales(blocks, type, rng.choice(scales(type).odd, (len(blocks), max(len(scales(type).at), 1))))
    for row, values in zip(w, dequantized(type, w), strict=True):
        out = np.full(k, POISON)
        any_level.dequantize(type, row, out)
        assert same_bits(out, values)


def test_every_half() -> None:
    """All 65536 float16 patterns, subnormal and infinite ones too."""
    bits = np.arange(65536, dtype=np.uint16)
    out = np.full(65536, POISON)
    level("portable").dequantize(TensorType.F16, bits.view(np.uint8), out)
    assert same_bits(out, bits.view(np.float16).astype(np.float32))


def test_packed_rows(any_level: native.Level) -> None:
    for type in TensorType:
        assert (any_level.packed_bytes(type, 1024) > 0) == (type in TYPES)
        assert (any_level.packing(type) > 0) == (type in TYPES)
    for type in TYPES:
        for k in (*widths(type), 1024, 2048):
            size = any_level.packed_bytes(type, k)
            assert size % 64 == 0
            assert size % 4096  # rows a whole page apart would share cache sets
    assert any_level.packing(TensorType.Q4_K) == any_level.packing(TensorType.Q6_K)


@pytest.fixture
def environment() -> Iterator[None]:
    before = os.environ.get("OSTINATO_CPU")
    yield
    os.environ.pop("OSTINATO_CPU", None)
    if before is not None:
        os.environ["OSTINATO_CPU"] = before


@pytest.mark.usefixtures("environment")
def test_a_level_can_be_forced() -> None:
    os.environ["OSTINATO_CPU"] = "portable"
    assert native.chosen() == ("portable", "")
    os.environ["OSTINATO_CPU"] = "sse9"
    name, why_not = native.chosen()
    assert name is None
    assert "portable, avx2, avx512, amx, neon, i8mm" in why_not
    os.environ["OSTINATO_CPU"] = ""
    assert native.chosen()[0] in NAMES
