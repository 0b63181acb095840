"""Q4_1: 32 elements, a scale and a minimum: x = d q + m, q in [0, 15]. Nibbles as in Q4_0."""

from __future__ import annotations

import numpy as np

from ostinato.gguf.blocks.format import Format, factor, unpack

LAYOUT = np.dtype([("d", "<f2"), ("m", "<f2"), ("qs", "u1", 16)])


def dequantize(blocks: np.ndarray) -> np.ndarray:
    quants = unpack(blocks["qs"], bits=4, run=16).astype(np.float32)
    values: np.ndarray = factor(blocks["d"]) * quants + factor(blocks["m"])
    return values


FORMAT = Format(LAYOUT, dequantize)
