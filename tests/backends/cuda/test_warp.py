"""The host's warp layer against NumPy, and its barriers with more warps than cores."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from tests.backends.cuda.build import warp_library

RANDOM = np.random.default_rng(3)


def op(name: str, dtype: type, *operands: np.ndarray) -> np.ndarray:
    """Calls one operation on arrays of 32 and returns 32 values."""
    out = np.zeros(32, dtype)
    pointers = [np.ascontiguousarray(a).ctypes.data_as(ctypes.c_void_p) for a in operands]
    pointers += [None] * (3 - len(pointers))
    getattr(warp_library(), name)(*pointers, out.ctypes.data_as(ctypes.c_void_p))
    return out


def butterfly(values: np.ndarray) -> np.float32:
    while len(values) > 1:
        half = len(values) // 2
        values = values[:half] + values[half:]
    return values[0]


def integers(low: int, high: int, dtype: type = np.int32) -> np.ndarray:
    return RANDOM.integers(low, high, 32).astype(dtype)


def floats(scale: float = 1.0) -> np.ndarray:
    return (RANDOM.normal(size=32) * scale).astype(np.float32)


def test_sums_are_butterflies() -> None:
    for _ in range(20):
        x = floats() * np.exp2(integers(-20, 20)).astype(np.float32)
        assert (op("op_sum", np.float32, x) == butterfly(x)).all()
    words = integers(-(10**6), 10**6)
    assert (op("op_sum_int", np.int32, words) == words.sum()).all()


def test_largest_and_smallest_pass_over_nan() -> None:
    x = floats()
    x[[0, 7, 31]] = np.nan
    assert (op("op_largest", np.float32, x) == np.nanmax(x)).all()
    assert np.isnan(op("op_largest", np.float32, np.full(32, np.nan, np.float32))).all()
    words = integers(-99, 99)
    assert (op("op_smallest", np.int32, words) == words.min()).all()


def test_lanes_see_each_other() -> None:
    words = integers(-99, 99)
    np.testing.assert_array_equal(op("op_shuffle_xor", np.int32, words), words[np.arange(32) ^ 5])
    assert (op("op_value_at", np.int32, words) == words[17]).all()


def test_dot4_is_exact() -> None:
    a, b, c = (integers(0, 2**32, np.uint32), integers(0, 2**32, np.uint32), integers(-(10**6), 10**6))
    a[:2], b[:2] = 0x80808080, (0x80808080, 0x7F7F7F7F)
    products = a.view(np.int8).astype(np.int32) * b.view(np.int8).astype(np.int32)
    np.testing.assert_array_equal(op("op_dot4", np.int32, a, b, c), c + products.reshape(32, 4).sum(1))


def test_pick_bytes() -> None:
    a, b, which = (integers(0, 2**32, np.uint32) for _ in range(3))
    both = np.stack([a, b], axis=1).view(np.uint8)
    places = (which[:, None] >> np.arange(0, 16, 4, dtype=np.uint32) & 7).astype(np.int64)
    wanted = np.take_along_axis(both, places, axis=1).view(np.uint32)[:, 0]
    np.testing.assert_array_equal(op("op_pick_bytes", np.uint32, a, b, which), wanted)


def test_fma_rounds_once() -> None:
    a, b = floats(), floats()
    c = -(a * b)
    wanted = (a.astype(np.float64) * b - (a * b)).astype(np.float32)  # exact: the product's rounding error
    np.testing.assert_array_equal(op("op_fma", np.float32, a, b, c), wanted)


def test_multiply_high() -> None:
    a, b = integers(0, 2**32, np.uint32), integers(0, 2**32, np.uint32)
    wanted = (a.astype(np.uint64) * b.astype(np.uint64) >> np.uint64(32)).astype(np.uint32)
    np.testing.assert_array_equal(op("op_multiply_high", np.uint32, a, b), wanted)


def test_every_half_becomes_its_float() -> None:
    halves = np.arange(2**16, dtype=np.uint16)
    found = np.concatenate([op("op_half_to_float", np.float32, part) for part in halves.reshape(-1, 32)])
    np.testing.assert_array_equal(found, halves.view(np.float16).astype(np.float32))
    numbers = ~np.isnan(found)
    np.testing.assert_array_equal(np.signbit(found[numbers]), halves[numbers] >= 0x8000)


def test_floats_become_the_nearest_half() -> None:
    """Every half, the middles between neighbours (ties), what is next to them, and random magnitudes."""
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    middles = (halves[:-1] + halves[1:]) / 2
    edges = np.array([65519.99, 65520, 65536, 1e9, np.inf, np.nan, 0.0, 2**-25, 2**-26], np.float32)
    around = [np.nextafter(middles, np.float32(way)) for way in (-np.inf, np.inf)]
    spread = (RANDOM.normal(size=4096) * np.exp2(RANDOM.integers(-30, 20, 4096))).astype(np.float32)
    values = np.concatenate([halves, middles, *around, edges, spread])
    values = np.concatenate([values, -values, np.zeros(-2 * len(values) % 32, np.float32)])
    found = np.concatenate([op("op_float_to_half", np.uint16, part) for part in values.reshape(-1, 32)])
    with np.errstate(over="ignore"):
        wanted = values.astype(np.float16)
    np.testing.assert_array_equal(found.view(np.float16), wanted)


def test_masks_and_selection() -> None:
    a, b, c = integers(0, 8), integers(0, 2), floats()
    np.testing.assert_array_equal(op("op_select", np.float32, a, b, c), np.where((a > 3) & (b != 0), c, np.float32(-1)))


def test_integers_behave_as_in_c() -> None:
    a, b = integers(-(2**31), 2**31), integers(-99, 99)
    wanted = (a >> 3).astype(np.int64) + (b & 7) * 2 - np.fmod(a.astype(np.int64), 5)
    np.testing.assert_array_equal(op("op_shift", np.int32, a, b), wanted.astype(np.int32))
    x = floats()
    np.testing.assert_array_equal(op("op_bits", np.int32, x), x.view(np.int32))
    words = integers(0, 2**32, np.uint32)
    np.testing.assert_array_equal(op("op_convert", np.float32, words), words.astype(np.float32))


def test_lanes_outside_a_mask_touch_no_memory() -> None:
    index = np.where(np.arange(32) % 3 == 0, RANDOM.permutation(32), 2**30).astype(np.int32)
    values, inside = floats(), index < 32
    wanted = np.zeros(32, np.float32)
    wanted[index[inside]] = values[index[inside]] * 2
    np.testing.assert_array_equal(op("op_where", np.float32, index, values), wanted)


def test_wide_loads() -> None:
    index, memory = RANDOM.permutation(32).astype(np.int32), RANDOM.integers(0, 1000, (32, 4)).astype(np.uint32)
    np.testing.assert_array_equal(op("op_words4", np.uint32, index, memory), (memory @ [1, 2, 4, 8])[index])


def test_atomics_of_lanes_that_meet() -> None:
    """Several lanes add to one word; lanes with -1 do not."""
    a, b = integers(-1, 5), integers(0, 32)
    wanted = np.bincount(a[a >= 0], minlength=32)
    wanted[np.unique(b)] |= 1 << 20
    np.testing.assert_array_equal(op("op_atomic_add", np.int32, a, b), wanted)


@pytest.mark.parametrize("warps", [1, 2, 8])
def test_a_block_meets(warps: int) -> None:
    assert warp_library().block_rounds(warps, 200) == 0


def test_a_grid_meets_again_and_again() -> None:
    """The barrier's words go on from launch to launch, whatever the number of blocks."""
    grid = np.zeros(3, np.int32)
    pointer = grid.ctypes.data_as(ctypes.c_void_p)
    for blocks, warps in ((4, 3), (1, 1), (7, 2), (2, 8), (4, 3)):
        assert warp_library().grid_rounds(pointer, blocks, warps, 50) == 0
        assert grid[0] == 0
    assert grid[1] == 5 * 50 * 2
