"""Q8_0: 32 elements, one scale: x = d q, q in [-127, 127]."""

from __future__ import annotations

import numpy as np

from ostinato.gguf.blocks.format import Format, half, inverse, round_half_away

LAYOUT = np.dtype([("d", "<f2"), ("qs", "i1", 32)])


def dequantize(blocks: np.ndarray) -> np.ndarray:
    values: np.ndarray = blocks["qs"].astype(np.float32) * blocks["d"].astype(np.float32)[:, None]
    return values


def quantize(values: np.ndarray) -> np.ndarray:
    """The largest magnitude becomes 127."""
    scale = np.abs(values).max(axis=1, keepdims=True) / np.float32(127)
    blocks = np.empty(len(values), LAYOUT)
    blocks["d"] = half(scale[:, 0])
    blocks["qs"] = round_half_away(values * inverse(scale))
    return blocks


FORMAT = Format(LAYOUT, dequantize, quantize)
