"""Q5_K: Q4_K with a fifth bit: x = (d scale) q - (dmin min), q in [0, 31]. Bit j of byte l of `qh` is that of element
32 j + l."""

from __future__ import annotations

import numpy as np

from ostinato.gguf.blocks import q4_k
from ostinato.gguf.blocks.format import Format, by_sub_block, factor, unpack

LAYOUT = np.dtype([("d", "<f2"), ("dmin", "<f2"), ("scales", "u1", 12), ("qh", "u1", 32), ("qs", "u1", 128)])


def dequantize(blocks: np.ndarray) -> np.ndarray:
    quants = unpack(blocks["qs"], bits=4, run=32) | unpack(blocks["qh"], bits=1, run=32) << 4
    scales, mins = q4_k.unpack_scales(blocks["scales"])
    least = factor(blocks["dmin"]) * mins.astype(np.float32)
    values: np.ndarray = by_sub_block(factor(blocks["d"]) * scales.astype(np.float32), quants)
    return values - np.repeat(least, 32, axis=1)


FORMAT = Format(LAYOUT, dequantize)
