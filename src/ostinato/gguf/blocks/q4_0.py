"""Q4_0: 32 elements, one scale: x = d (q - 8), q in [0, 15]. Byte i holds elements i (low nibble) and i + 16."""

from __future__ import annotations

import numpy as np

from ostinato.gguf.blocks.format import Format, half, inverse

LAYOUT = np.dtype([("d", "<f2"), ("qs", "u1", 16)])


def dequantize(blocks: np.ndarray) -> np.ndarray:
    nibbles = np.concatenate([blocks["qs"] & 0x0F, blocks["qs"] >> 4], axis=1)
    values: np.ndarray = (nibbles.astype(np.float32) - np.float32(8)) * blocks["d"].astype(np.float32)[:, None]
    return values


def quantize(values: np.ndarray) -> np.ndarray:
    """The element of largest magnitude becomes -8, whatever its sign (the scale takes it)."""
    peak = np.take_along_axis(values, np.abs(values).argmax(axis=1, keepdims=True), axis=1)
    scale = peak / np.float32(-8)
    nibbles = np.trunc(values * inverse(scale) + np.float32(8.5)).astype(np.uint8).clip(0, 15)
    blocks = np.empty(len(values), LAYOUT)
    blocks["d"] = half(scale[:, 0])
    blocks["qs"] = nibbles[:, :16] | nibbles[:, 16:] << 4
    return blocks


FORMAT = Format(LAYOUT, dequantize, quantize)
