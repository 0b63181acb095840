"""Q4_K: 256 elements in 8 sub-blocks of 32: x = (d scale) q - (dmin min), q in [0, 15], scale and min in [0, 63].

Bytes 32 p .. 32 p + 31 of `qs` hold sub-blocks 2 p (low nibbles) and 2 p + 1 (high ones). The 12 bytes of `scales`
hold eight 6-bit scales S and mins M, as three rows of four: the low six bits of row 0 are S0..3, of row 1 M0..3; row 2
has the low four bits of S4..7 (low nibble) and M4..7 (high nibble), whose top two bits are those of rows 0 and 1.
"""

from __future__ import annotations

import numpy as np

from ostinato.gguf.blocks.format import Format, half, inverse

SUBS, WIDTH = 8, 32  # sub-blocks, elements of each
TOP, TOP_SCALE = 15, 63  # largest q; largest scale and min

LAYOUT = np.dtype([("d", "<f2"), ("dmin", "<f2"), ("scales", "u1", 12), ("qs", "u1", 128)])

# Stretched ranges tried when fitting a sub-block, in units of q: 15 is the plain fit from minimum to maximum.
_RANGES = np.linspace(14.0, 16.0, 9, dtype=np.float32)


def dequantize(blocks: np.ndarray) -> np.ndarray:
    n = len(blocks)
    scales, mins = unpack_scales(blocks["scales"])
    scale, low = _effective(blocks, scales, mins)
    packed = blocks["qs"].reshape(n, SUBS // 2, 1, WIDTH)
    quants = np.concatenate([packed & 0x0F, packed >> 4], axis=2).reshape(n, SUBS, WIDTH)
    values: np.ndarray = scale * quants.astype(np.float32) - low
    return values.reshape(n, -1)


def quantize(values: np.ndarray) -> np.ndarray:
    """Fit every sub-block by itself, round the fits to six bits, then choose the best q for the rounded fits."""
    subs = values.reshape(len(values), SUBS, WIDTH)
    scale, low = _fit(subs)
    blocks = np.empty(len(values), LAYOUT)
    blocks["d"], scales = _six_bits(scale)
    blocks["dmin"], mins = _six_bits(low)
    blocks["scales"] = pack_scales(scales, mins)
    step, offset = _effective(blocks, scales, mins)
    quants = np.rint((subs + offset) * inverse(step)).clip(0, TOP).astype(np.uint8)
    pairs = quants.reshape(len(values), SUBS // 2, 2, WIDTH)
    blocks["qs"] = (pairs[:, :, 0] | pairs[:, :, 1] << 4).reshape(len(values), -1)
    return blocks


def unpack_scales(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scales and mins, uint8 [n, 8] each, from the twelve bytes [n, 12]."""
    first, second, third = (packed[:, start : start + 4] for start in (0, 4, 8))
    scales = np.concatenate([first & 0x3F, third & 0x0F | first >> 2 & 0x30], axis=1)
    mins = np.concatenate([second & 0x3F, third >> 4 | second >> 2 & 0x30], axis=1)
    return scales, mins


def pack_scales(scales: np.ndarray, mins: np.ndarray) -> np.ndarray:
    """The inverse of `unpack_scales`."""
    first = scales[:, :4] | (scales[:, 4:] & 0x30) << 2
    second = mins[:, :4] | (mins[:, 4:] & 0x30) << 2
    third = scales[:, 4:] & 0x0F | (mins[:, 4:] & 0x0F) << 4
    return np.concatenate([first, second, third], axis=1)


def _effective(blocks: np.ndarray, scales: np.ndarray, mins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """d scale and dmin min, float32 [n, 8, 1] each."""
    scale = blocks["d"].astype(np.float32)[:, None] * scales.astype(np.float32)
    low = blocks["dmin"].astype(np.float32)[:, None] * mins.astype(np.float32)
    return scale[:, :, None], low[:, :, None]


def _six_bits(fits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Non-negative fits [n, 8] as one half [n] times six bits [n, 8]."""
    unit = half(fits.max(axis=1) / np.float32(TOP_SCALE))
    bits = np.rint(fits * inverse(unit.astype(np.float32))[:, None]).clip(0, TOP_SCALE)
    return unit, bits.astype(np.uint8)


def _fit(subs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scale and negated minimum, both >= 0, [n, 8] each, of small squared error for x = scale q - low.

    For each of a few ranges, round to q and solve for the best line through (q, x); keep the best of all. The first
    candidate is the plain fit itself, so the result is never worse (before its rounding to six bits).
    """
    floor = np.minimum(subs.min(axis=2), np.float32(0))
    span = subs.max(axis=2) - floor
    best_scale, best_low = span / np.float32(TOP), -floor
    best_error = _error(subs, best_scale, best_low)
    for width in _RANGES:
        scale, low = _line(subs, np.rint((subs - floor[:, :, None]) * (width * inverse(span))[:, :, None]))
        error = _error(subs, scale, low)
        better = error < best_error
        best_scale, best_low = np.where(better, scale, best_scale), np.where(better, low, best_low)
        best_error = np.where(better, error, best_error)
    return best_scale, best_low


def _line(subs: np.ndarray, quants: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least squares for x = scale q - low with scale, low >= 0; q is clipped to its range."""
    quants = quants.clip(0, TOP)
    q, qq = quants.sum(axis=2), (quants * quants).sum(axis=2)
    x, qx = subs.sum(axis=2), (quants * subs).sum(axis=2)
    scale = (WIDTH * qx - q * x) * inverse(WIDTH * qq - q * q)
    low = (scale * q - x) / np.float32(WIDTH)
    through_zero = low < 0
    scale = np.where(through_zero, qx * inverse(qq), scale)
    return np.maximum(scale, np.float32(0)), np.where(through_zero, np.float32(0), low)


def _error(subs: np.ndarray, scale: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Squared error [n, 8] when every element takes its nearest q."""
    shifted = subs + low[:, :, None]
    quants = np.rint(shifted * inverse(scale)[:, :, None]).clip(0, TOP)
    error: np.ndarray = np.square(shifted - scale[:, :, None] * quants).sum(axis=2)
    return error


FORMAT = Format(LAYOUT, dequantize, quantize)
