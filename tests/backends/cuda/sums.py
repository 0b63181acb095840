"""The sums of CUDA's linears in NumPy, bit for bit: native/cpu/sums.md for what a term is, kernels/blocks for the order
in which terms are added."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ostinato.gguf.blocks import dequantize
from ostinato.gguf.types_table import TensorType
from tests.gguf.blocks import get_scales
from tests.native.sums import WITH_MINIMA, integers
from tests.support import fma

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
LANES, SUPER_LANES = 32, 4  # accumulators of a dot product; of one over super-blocks


def pack(x: Floats, group: int) -> tuple[Integers, Floats]:
    """Rows [rows, k] -> quants [rows, k / group, group] and scales [rows, k / group]."""
    parts = x.reshape(len(x), -1, group)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        largest = np.abs(parts).max(axis=2)
        usable = np.isfinite(largest) & (largest >= np.float32(2.0**-120))
        scaled = np.where(usable[..., None], parts * (np.float32(127) / largest)[..., None], np.float32(0))
        scale = np.where(usable, largest / np.float32(127), np.where(np.isfinite(largest), np.float32(0), np.nan))
    return np.rint(scaled).astype(np.int64), scale.astype(np.float32)


def dot(kind: TensorType, data: NDArray[np.uint8], x: Floats) -> Floats:
    """x [rows, k] times the weight whose blocks are `data` [n, bytes of a row]: float32 [rows, n]."""
    with np.errstate(invalid="ignore", over="ignore"):
        if kind.block_elements == 1:
            return _floats(dequantize(data, kind, (len(data), x.shape[1])), x, 16 // kind.block_bytes)
        quants, scales = pack(x, kind.block_elements)
        small = kind.block_elements == 32
        blocks = data.reshape(len(data), -1, kind.block_bytes)
        lanes = np.zeros((LANES if small else SUPER_LANES, len(x), len(data)), np.float32)
        for b in range(blocks.shape[1]):
            lane = lanes[b % len(lanes)]
            lane[:] = (_add_small if small else _add_super)(kind, blocks[:, b], quants[:, b], scales[:, b, None], lane)
        return _tree(lanes)


def _tree(lanes: Floats) -> Floats:
    """Sums over axis 0: the second half onto the first, until one is left."""
    while len(lanes) > 1:
        lanes = lanes[: len(lanes) // 2] + lanes[len(lanes) // 2 :]
    return lanes[0]


def _floats(w: Floats, x: Floats, chunk: int) -> Floats:
    """Lane l takes chunks l, l + 32, ... of a row, element by element."""
    tail = -x.shape[1] % (LANES * chunk)
    w, x = (np.pad(a, ((0, 0), (0, tail))).reshape(len(a), -1, LANES, chunk) for a in (w, x))
    lanes = np.zeros((LANES, len(x), len(w)), np.float32)
    for step in range(w.shape[1]):
        for j in range(chunk):
            lanes = fma(w[:, step, :, j].T[:, None, :], x[:, step, :, j].T[:, :, None], lanes)
    return _tree(lanes)


def _add_small(kind: TensorType, blocks: NDArray[np.uint8], q: Integers, scale: Floats, to: Floats) -> Floats:
    """One block of each weight row [n, bytes] onto `to` [rows, n]; q [rows, elements], scale [rows, 1]."""
    first, second = integers(kind, blocks)
    d, exact = get_scales(blocks, kind), (q @ first.T).astype(np.float32)
    if kind not in WITH_MINIMA:
        return fma(d[:, 0] * scale, exact, to)
    return fma(scale, fma(d[:, 0], exact, d[:, 1] * (q @ second.T).astype(np.float32)), to)


def _add_super(kind: TensorType, blocks: NDArray[np.uint8], q: Integers, scale: Floats, to: Floats) -> Floats:
    """As _add_small, of super-blocks."""
    first, second = integers(kind, blocks)
    d, exact = get_scales(blocks, kind), (q @ first.T).astype(np.float32)
    if kind not in WITH_MINIMA:
        return fma(scale, d[:, 0] * exact, to)
    least = -(q @ second.T).astype(np.float32)
    return fma(scale, fma(d[:, 0], exact, -(d[:, 1] * least)), to)
