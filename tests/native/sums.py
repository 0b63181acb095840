"""native/cpu/sums.md in NumPy: every rounding that text fixes, from what other people's dequantisers say a block holds.

The integers of a block are its values where its scales are 1: so the codes and sub-scales here are not our decoding.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ostinato.gguf.types_table import TensorType
from tests.gguf.blocks import get_scales, oracle, put_scales, scales
from tests.support import fma

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]

WITH_MINIMA = {TensorType[name] for name in ("Q4_1", "Q5_1", "Q2_K", "Q4_K", "Q5_K")}
# What d is divided by so that sub-scales times values are integers.
PARTS = {TensorType[name]: 8 for name in ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S")} | {TensorType.IQ3_XXS: 4}
# Bounds on |S|, as powers of two.
BITS = {
    "Q2_K": 21, "Q3_K": 22, "Q4_K": 25, "Q5_K": 26, "Q6_K": 27, "Q8_K": 22, "IQ1_S": 23, "IQ1_M": 23, "IQ2_XXS": 26,
    "IQ2_XS": 26, "IQ2_S": 26, "IQ3_XXS": 26, "IQ3_S": 24, "IQ4_XS": 27, "TQ1_0": 16, "TQ2_0": 16,
}  # fmt: skip


def emulate(type: TensorType, w: Bytes, x: Floats) -> Floats:
    """x [rows, k] times w [n, bytes per row]: [rows, n]."""
    if type.block_elements == 1:
        return _floats(oracle(w.reshape(-1, type.block_bytes), type).reshape(len(w), -1), x)
    return _supers(type, w, x) if type.block_elements == 256 else _smalls(type, w, x)


def quantize(x: Floats, size: int) -> tuple[Integers, Floats]:
    """Rows [rows, k] -> quants [rows, k / size, size] and scales [rows, k / size]."""
    blocks = x.reshape(len(x), -1, size)
    largest = np.abs(blocks).max(axis=2)
    inverse = np.where(largest < np.float32(2.0**-120), np.float32(0), np.float32(127) / largest)
    scale = np.where(inverse == 0, np.float32(0), largest / np.float32(127))
    return np.rint(blocks * inverse[..., None]).astype(np.int64), scale.astype(np.float32)


def _whole(type: TensorType, blocks: Bytes, ones: tuple[bool, ...]) -> Integers:
    """Blocks [n, block bytes] as integers [n, block elements], with scales of 1, or 0 where `ones` says no."""
    blocks = blocks.copy()
    put_scales(blocks, type, np.array([[scales(type).one if one else 0 for one in ones]]).repeat(len(blocks), axis=0))
    values = oracle(blocks, type) * PARTS.get(type, 1)
    whole = values.astype(np.int64)
    assert np.array_equal(whole, values)
    return whole


def integers(type: TensorType, blocks: Bytes) -> tuple[Integers, Integers]:
    """What d and what the minimum's scale are multiplied with, [n, block elements] each; w = d first + dmin second."""
    if type not in WITH_MINIMA:
        count = max(len(scales(type).at), 1)
        return _whole(type, blocks, (True,) * count), np.zeros((len(blocks), type.block_elements), np.int64)
    return _whole(type, blocks, (True, False)), _whole(type, blocks, (False, True))


def _supers(type: TensorType, w: Bytes, x: Floats) -> Floats:
    blocks = w.reshape(len(w), -1, type.block_bytes)
    q, scale = quantize(x, 256)
    acc = np.zeros((len(x), len(w)), np.float32)
    for b in range(blocks.shape[1]):
        first, second = integers(type, blocks[:, b])
        exact, least = q[:, b] @ first.T, -(q[:, b] @ second.T)
        assert np.abs(exact).max() < 2 ** BITS[type.name]
        assert np.abs(least).max() < 2**21
        d = get_scales(blocks[:, b], type)
        term = (d[:, 0] / np.float32(PARTS.get(type, 1))) * exact.astype(np.float32)
        if type in WITH_MINIMA:
            minus = -(d[:, 1] * least.astype(np.float32))
            term = fma(np.broadcast_to(d[:, 0], exact.shape), exact.astype(np.float32), minus)
        acc = fma(np.broadcast_to(scale[:, b, None], acc.shape), term, acc)
    return acc


def _smalls(type: TensorType, w: Bytes, x: Floats) -> Floats:
    blocks = w.reshape(-1, type.block_bytes)
    first, second = (part.reshape(len(w), -1) for part in integers(type, blocks))
    d = get_scales(blocks, type)
    width = 16 if type is TensorType.NVFP4 else 32
    q, scale = quantize(x, 32)
    acc = np.zeros((len(x), len(w)), np.float32)
    for at in range(0, x.shape[1], width):
        a, da = q[:, at // 32, at % 32 : at % 32 + width], scale[:, at // 32, None]
        exact = (a @ first[:, at : at + width].T).astype(np.float32)
        parts = d.reshape(len(w), -1, d.shape[1])[:, at // type.block_elements]
        if type in WITH_MINIMA:
            least = parts[:, 1] * (a @ second[:, at : at + width].T).astype(np.float32)
            acc = fma(np.broadcast_to(da, acc.shape), fma(np.broadcast_to(parts[:, 0], acc.shape), exact, least), acc)
        else:
            j = at % type.block_elements // width if d.shape[1] > 1 else 0
            acc = fma(parts[:, j] * da, exact, acc)
    return acc


def _floats(w: Floats, x: Floats) -> Floats:
    tail = -w.shape[1] % 64
    w, x = np.pad(w, ((0, 0), (0, tail))), np.pad(x, ((0, 0), (0, tail)))
    lanes = np.zeros((len(x), len(w), 64), np.float32)
    for at in range(0, w.shape[1], 64):
        a, b = np.broadcast_arrays(w[None, :, at : at + 64], x[:, None, at : at + 64])
        lanes = fma(a, b, lanes)
    while lanes.shape[2] > 1:
        half = lanes.shape[2] // 2
        lanes = lanes[..., :half] + lanes[..., half:]
    return lanes[..., 0]


# ---- prompt rows on a matrix unit


def bfloats(x: Floats) -> Floats:
    """Rounded to bf16, to nearest even; subnormal ones are zero."""
    bits = x.view(np.uint32).astype(np.uint64)
    rounded = ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)
    return np.where(np.isnan(x), x, np.where(np.abs(x) < np.float32(2.0**-126), np.copysign(np.float32(0), x), rounded))


def flushed(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rounded to float32, subnormal numbers to zero."""
    rounded = x.astype(np.float32).astype(np.float64)
    return np.where(np.abs(rounded) < 2.0**-126, np.copysign(0.0, rounded), rounded)


def tile_product(a: Floats, b: Floats, c: Floats) -> Floats:
    """TDPBF16PS: c [m, n] + a [m, k] x b [k, n]: even and odd k apart, every sum rounded.

    Products of bf16 are exact in float64, and so is their sum with a float32 wherever its rounding to float32 depends
    on the smaller one.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        halves = []
        for parity in (0, 1):
            half = np.zeros(c.shape)
            for k in range(parity, a.shape[1], 2):
                half = flushed(half + np.outer(flushed(a[:, k].astype(float)), flushed(b[k].astype(float))))
            halves.append(half)
        return flushed(flushed(c.astype(float)) + flushed(halves[0] + halves[1])).astype(np.float32)


def emulate_prompt(type: TensorType, w: Floats, x: Floats) -> Floats:
    """x [rows, k] times dequantised weights [n, k]: [rows, n]."""
    if type is TensorType.F32:
        return _floats(w, x)
    tail = -w.shape[1] % 32
    a, b = (np.pad(bfloats(y), ((0, 0), (0, tail))) for y in (x, w))
    acc = np.zeros((len(x), len(w)), np.float32)
    for at in range(0, a.shape[1], 32):
        acc = tile_product(a[:, at : at + 32], b.T[at : at + 32], acc)
    return acc
