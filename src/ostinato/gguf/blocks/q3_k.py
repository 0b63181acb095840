"""Q3_K: 256 elements in 16 sub-blocks of 16: x = (d scale) (q - 4), q in [0, 7], scale in [-32, 31].

The low two bits of q lie in `qs` as in Q2_K; bit r of byte l of `hmask` is the third of element 32 r + l. The low four
bits of scale + 32 are the nibbles of the first eight bytes of `scales` (low nibbles 0..7, high ones 8..15), the top two
the pairs of bits of the last four (lowest pairs 0..3, then 4..7, and so on).
"""

from __future__ import annotations

import numpy as np

from ostinato.gguf.blocks.format import Format, by_sub_block, factor, unpack

LAYOUT = np.dtype([("hmask", "u1", 32), ("qs", "u1", 64), ("scales", "u1", 12), ("d", "<f2")])


def dequantize(blocks: np.ndarray) -> np.ndarray:
    quants = unpack(blocks["qs"], bits=2, run=32) | unpack(blocks["hmask"], bits=1, run=32) << 2
    scales = factor(blocks["d"]) * (_unpack_scales(blocks["scales"]).astype(np.float32) - np.float32(32))
    return by_sub_block(scales, quants.astype(np.float32) - np.float32(4))


def _unpack_scales(packed: np.ndarray) -> np.ndarray:
    """Sixteen scales + 32, uint8 [n, 16], from the twelve bytes [n, 12]."""
    return unpack(packed[:, :8], bits=4, run=8) | unpack(packed[:, 8:], bits=2, run=4) << 4


FORMAT = Format(LAYOUT, dequantize)
