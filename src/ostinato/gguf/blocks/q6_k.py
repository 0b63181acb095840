"""Q6_K: 256 elements in 16 sub-blocks of 16: x = (d scale) (q - 32), q in [0, 63], scale in [-128, 127].

Each half of 128 elements is four runs of 32: byte l of the half's 64 `ql` holds the low four bits of run 0 (low
nibble) and 2 (high nibble), byte l + 32 those of runs 1 and 3; byte l of its 32 `qh` the top two bits of runs 0 to 3.
"""

from __future__ import annotations

import numpy as np

from ostinato.gguf.blocks.format import Format, half, inverse

SUBS, WIDTH = 16, 16  # sub-blocks, elements of each
ZERO = 32  # the q that means 0
LOWEST_SCALE = -128

LAYOUT = np.dtype([("ql", "u1", 128), ("qh", "u1", 64), ("scales", "i1", 16), ("d", "<f2")])

# What the element of largest magnitude becomes in the tries of a fit; -32 is the plain one.
_PEAKS = np.linspace(-33.0, -30.0, 13, dtype=np.float32)


def dequantize(blocks: np.ndarray) -> np.ndarray:
    n = len(blocks)
    centred = _unpack(blocks).astype(np.float32) - np.float32(ZERO)
    values: np.ndarray = _effective(blocks) * centred.reshape(n, SUBS, WIDTH)
    return values.reshape(n, -1)


def quantize(values: np.ndarray) -> np.ndarray:
    """Fit every sub-block by itself, round the fits to eight bits, then choose the best q for the rounded fits."""
    subs = values.reshape(len(values), SUBS, WIDTH)
    fits = _fit(subs)
    blocks = np.empty(len(values), LAYOUT)
    blocks["d"] = half(_peak(fits) / np.float32(LOWEST_SCALE))
    unit = blocks["d"].astype(np.float32)[:, None]
    blocks["scales"] = np.rint(fits * inverse(unit)).clip(LOWEST_SCALE, 127)
    quants = np.rint(subs * inverse(_effective(blocks))).clip(-ZERO, ZERO - 1) + ZERO
    _pack(blocks, quants.astype(np.uint8).reshape(len(values), -1))
    return blocks


def _effective(blocks: np.ndarray) -> np.ndarray:
    """d scale, float32 [n, 16, 1]."""
    scale: np.ndarray = blocks["d"].astype(np.float32)[:, None] * blocks["scales"].astype(np.float32)
    return scale[:, :, None]


def _unpack(blocks: np.ndarray) -> np.ndarray:
    """All q of n blocks, uint8 [n, 256]."""
    n = len(blocks)
    low = blocks["ql"].reshape(n, 2, 1, 2, 32)
    low = np.concatenate([low & 0x0F, low >> 4], axis=2)  # [n, half, nibble, run % 2, 32]
    shifts = np.array([0, 2, 4, 6], np.uint8).reshape(1, 1, 2, 2, 1)
    high = blocks["qh"].reshape(n, 2, 1, 1, 32) >> shifts & 3
    quants: np.ndarray = low | high << 4
    return quants.reshape(n, -1)


def _pack(blocks: np.ndarray, quants: np.ndarray) -> None:
    """The inverse of `_unpack`: fills `ql` and `qh` from q, uint8 [n, 256]."""
    n = len(blocks)
    runs = quants.reshape(n, 2, 4, 32)
    low = runs & 0x0F
    blocks["ql"] = (low[:, :, :2] | low[:, :, 2:] << 4).reshape(n, -1)
    shifts = np.array([0, 2, 4, 6], np.uint8).reshape(1, 1, 4, 1)
    blocks["qh"] = np.bitwise_or.reduce(runs >> 4 << shifts, axis=2).reshape(n, -1)


def _peak(values: np.ndarray) -> np.ndarray:
    """The element of largest magnitude along the last axis, with its sign."""
    index = np.abs(values).argmax(axis=-1, keepdims=True)
    return np.take_along_axis(values, index, axis=-1)[..., 0]


def _fit(subs: np.ndarray) -> np.ndarray:
    """Scales [n, 16] of small squared error for x = scale q, q in [-32, 31].

    For each try, round to q and take the best scale for them, sum(q x) / sum(q q); it removes
    sum(q x)^2 / sum(q q) of the squared error, and the try that removes most wins.
    """
    per_peak = inverse(_peak(subs))[:, :, None]
    best_scale = np.zeros(subs.shape[:2], np.float32)
    best_gain = np.zeros(subs.shape[:2], np.float32)
    for peak in _PEAKS:
        quants = np.rint(subs * (peak * per_peak)).clip(-ZERO, ZERO - 1)
        qx, qq = (quants * subs).sum(axis=2), (quants * quants).sum(axis=2)
        scale = qx * inverse(qq)
        better = qx * scale > best_gain
        best_scale = np.where(better, scale, best_scale)
        best_gain = np.where(better, qx * scale, best_gain)
    return best_scale


FORMAT = Format(LAYOUT, dequantize, quantize)
