"""The AMX level: its tiles against Intel's definition of them, prompt rows against sums.md, generated rows against the
other levels. All of it on emulated tiles too, where there is no matrix unit.
"""

from __future__ import annotations

import platform
from operator import attrgetter

import numpy as np
import pytest
from numpy.typing import NDArray

from ostinato.gguf.types_table import TensorType
from tests.gguf.blocks import put_scales, scales
from tests.native.sums import bfloats, emulate_prompt, tile_product
from tests.native.test_kernels import QUANTISED, TYPES, dequantized, level, matmul, native, pack, weights
from tests.support import same_bits

if platform.machine() not in ("x86_64", "AMD64"):
    pytest.skip("AMX is of x86-64 processors", allow_module_level=True)

Floats = NDArray[np.float32]

NAME = attrgetter("name")
# Super-block types whose generated rows go through tiles, one for each way of packing codes and sub-scales.
PLANES = [TensorType[name] for name in ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS", "IQ3_S", "IQ2_XXS", "IQ1_M")]


@pytest.fixture(params=["amx-emulated", "amx"])
def tiles(request: pytest.FixtureRequest) -> str:
    level(request.param)  # skips where the machine lacks it
    return str(request.param)


# ---- tiles


def product(tiles: str, bf16: bool, a: NDArray[np.generic], b: NDArray[np.generic], c: NDArray[np.generic]) -> None:
    """c += a x b on one tile each; b's rows are interleaved as the unit wants them."""
    group = 2 if bf16 else 4
    interleaved = b.reshape(-1, group, b.shape[1]).transpose(0, 2, 1)
    raw = [np.ascontiguousarray(x).view(np.uint8).reshape(-1) for x in (a, interleaved)]
    native.tile_product(tiles, bf16, *raw, c.view(np.uint8).reshape(-1), *c.shape, a.nbytes // len(a))


@pytest.mark.parametrize("shape", [(16, 16, 32), (1, 16, 32), (16, 3, 2), (7, 5, 18)], ids=str)
@pytest.mark.parametrize("scale", [1.0, 2.0**-70, 2.0**-133, 2.0**63])
def test_products_of_bfloats(tiles: str, shape: tuple[int, int, int], scale: float) -> None:
    m, n, k = shape
    rng = np.random.default_rng(m + n)
    a, b, c = (
        (rng.standard_normal(shape) * scale).astype(np.float32).view(np.uint32) for shape in ((m, k), (k, n), (m, n))
    )
    a, b, c = a & np.uint32(0xFFFF0000), b & np.uint32(0xFFFF0000), c.view(np.float32)  # subnormal ones too
    expected = tile_product(a.view(np.float32), b.view(np.float32), c)
    product(tiles, True, (a >> 16).astype(np.uint16), (b >> 16).astype(np.uint16), c)
    assert same_bits(c + np.float32(0), expected + np.float32(0))  # zeros of either sign


@pytest.mark.parametrize("shape", [(16, 16, 64), (2, 16, 64), (16, 1, 4), (5, 7, 36)], ids=str)
def test_products_of_bytes(tiles: str, shape: tuple[int, int, int]) -> None:
    m, n, k = shape
    rng = np.random.default_rng(k)
    a, b = (rng.integers(-128, 128, shape, np.int8) for shape in ((m, k), (k, n)))
    a[0], b[:, 0] = -128, -128
    c = rng.integers(-(2**31), 2**31, (m, n), np.int32)
    expected = (c + a.astype(np.int64) @ b.astype(np.int64)).astype(np.int32)  # wraps
    product(tiles, False, a, b, c)
    np.testing.assert_array_equal(c, expected)


# ---- prompt rows


@pytest.mark.parametrize("type", TYPES, ids=NAME)
def test_prompt_rows_are_what_sums_md_says(tiles: str, type: TensorType) -> None:
    """In blocks of 32 x 32, of 128 weight rows and 2048 columns, and whatever of them is left."""
    rng = np.random.default_rng(1)
    columns = type.block_elements if type.block_elements > 1 else 45
    for k, n, rows in ((columns, 130, 33), (3 * columns, 17, 70), (2048 + columns, 5, 3), (2048, 33, 16)):
        w, x = weights(type, n, k, rng), rng.standard_normal((rows, k), np.float32)
        got = matmul(level(tiles, prompt=True), type, w, x)
        assert same_bits(got, emulate_prompt(type, dequantized(type, w), x)), (k, n, rows)


@pytest.mark.parametrize("type", TYPES, ids=NAME)
def test_a_prompt_row_does_not_see_its_company(tiles: str, type: TensorType) -> None:
    rng = np.random.default_rng(2)
    k = 256 if type.block_elements > 1 else 100
    kernels = level(tiles, prompt=True)
    w, x = weights(type, 40, k, rng), rng.standard_normal((40, k), np.float32)
    together = matmul(kernels, type, w, x)
    for rows in (slice(0, 1), slice(15, 17), slice(39, 40), slice(3, 36)):
        assert same_bits(matmul(kernels, type, w, x[rows]), together[rows])
    for n in (1, 16, 31, 33):
        assert same_bits(matmul(kernels, type, w[:n], x[:18]), together[:18, :n])


@pytest.mark.parametrize("type", [type for type in TYPES if type is not TensorType.F32], ids=NAME)
def test_prompt_rows_are_near_the_dot_product(tiles: str, type: TensorType) -> None:
    """Rounding to 8 bits errs by up to 2^-8 of the power of two below a value, uniformly: 2^-14 / 12 = 5e-6 of its
    square, which is a quarter to all of the value's. So each of two factors brings about 2.5e-6, at most 5e-6."""
    rng = np.random.default_rng(4)
    w, x = weights(type, 32, 2048, rng), rng.standard_normal((16, 2048), np.float32)
    exact = x.astype(np.float64) @ dequantized(type, w).astype(np.float64).T
    error = np.sum((matmul(level(tiles, prompt=True), type, w, x) - exact) ** 2) / np.sum(exact**2)
    assert error < 1e-5


@pytest.mark.parametrize("type", QUANTISED, ids=NAME)
def test_prompt_rows_with_hostile_scales(tiles: str, type: TensorType) -> None:
    rng = np.random.default_rng(5)
    k = 256
    w = rng.integers(0, 256, (20, k // type.block_elements * type.block_bytes), np.uint8)
    for row in w[:15]:
        blocks = row.reshape(-1, type.block_bytes)
        put_scales(blocks, type, rng.choice(scales(type).odd, (len(blocks), max(len(scales(type).at), 1))))
    x = rng.standard_normal((4, k), np.float32)
    x[2, 30], x[3, 70] = np.inf, np.nan
    expected = emulate_prompt(type, dequantized(type, w), x)
    got = matmul(level(tiles, prompt=True), type, w, x)
    assert same_bits(got, expected)


def test_packed_prompt_rows(tiles: str) -> None:
    """To nearest even, subnormal ones to zero, a NaN stays one; padded with zeros."""
    x = np.array([[1 + 2**-8, 1 + 3 * 2**-8, 1e-40, -0.0, np.inf, np.nan, 3.4e38, 1 + 2**-8 + 2**-23]], np.float32)
    halves = pack(level(tiles, prompt=True), TensorType.BF16, x).view(np.uint16)
    assert same_bits((halves[:8].astype(np.uint32) << 16).view(np.float32), bfloats(x[0]))
    assert bfloats(x[0])[0] == 1
    assert not np.any(halves[8:])
    prompt, generated = level(tiles, prompt=True), level(tiles)
    for type in TensorType:
        assert (prompt.packing(type) == 0) == (generated.packing(type) == 0)
    for type in TYPES:
        size = prompt.packed_bytes(type, 2048)
        assert size % 64 == 0
        assert size % 4096


# ---- generated rows


@pytest.mark.parametrize("type", PLANES, ids=NAME)
def test_generated_rows_are_those_of_every_level(tiles: str, type: TensorType) -> None:
    rng = np.random.default_rng(6)
    for k, n in ((256, 67), (768, 16)):
        w, x = weights(type, n, k, rng), rng.standard_normal((81, k), np.float32)
        expected = matmul(level("portable"), type, w, x)
        for rows in (1, 11, 12, 13, 16, 17, 31, 32, 33, 40, 64, 81):
            assert same_bits(matmul(level(tiles), type, w, x[:rows]), expected[:rows]), (k, rows)


@pytest.mark.parametrize("type", TYPES, ids=NAME)
def test_any_generated_rows(tiles: str, type: TensorType) -> None:
    """Also at the bounds of codes, sub-scales and activations, and with scales that are no numbers."""
    rng = np.random.default_rng(7)
    k = 256 if type.block_elements > 1 else 100
    w, x = weights(type, 24, k, rng), rng.standard_normal((14, k), np.float32)
    if type in QUANTISED:
        for row, byte in zip(w, (0x00, 0x7F, 0x80, 0xFF), strict=False):
            row[:] = byte
            put_scales(row.reshape(-1, type.block_bytes), type, np.full((1, 1), scales(type).one))
        w[4:8] = rng.integers(0, 256, w[4:8].shape, np.uint8)
    x[0], x[1], x[2, 5] = 1, -1, np.nan
    got = matmul(level(tiles), type, w, x)
    assert same_bits(got, matmul(level("portable"), type, w, x))
    assert same_bits(matmul(level(tiles), type, w, x[3:4]), got[3:4])


def test_rows_are_packed_as_at_other_levels(tiles: str) -> None:
    x = np.random.default_rng(8).standard_normal((2, 512), np.float32)
    for type in (TensorType.Q4_K, TensorType.Q8_0, TensorType.F16):
        np.testing.assert_array_equal(pack(level(tiles), type, x), pack(level("portable"), type, x))
