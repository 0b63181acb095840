"""Q2_K: 256 elements in 16 sub-blocks of 16: x = (d scale) q - (dmin min), q in [0, 3], scale and min in [0, 15].

Byte j of `scales` holds scale j (low nibble) and min j. Bytes 32 h .. 32 h + 31 of `qs` hold half h: its four runs of
32 elements in their bits 0-1, 2-3, 4-5, 6-7.
"""

from __future__ import annotations

import numpy as np

from ostinato.gguf.blocks.format import Format, by_sub_block, factor, unpack

LAYOUT = np.dtype([("scales", "u1", 16), ("qs", "u1", 64), ("d", "<f2"), ("dmin", "<f2")])


def dequantize(blocks: np.ndarray) -> np.ndarray:
    scales = factor(blocks["d"]) * (blocks["scales"] & 15).astype(np.float32)
    least = factor(blocks["dmin"]) * (blocks["scales"] >> 4).astype(np.float32)
    values: np.ndarray = by_sub_block(scales, unpack(blocks["qs"], bits=2, run=32)) - np.repeat(least, 16, axis=1)
    return values


FORMAT = Format(LAYOUT, dequantize)
