"""IQ1_S and IQ1_M: 256 elements, every eight a point of a grid of -1, 0, 1: x = d (2 scale + 1) (v + delta).

delta is 1/8 or -1/8. IQ1_S: a 16-bit word of `qh` for each 32 has the top three bits of its four indices, a scale of
three bits, and delta's sign. IQ1_M: nibble i of `qh` has the top three bits of index i and delta's sign for its eight;
the four words of `scales` have four scales of three bits each, for 16 elements, and in their top nibbles d, a float16.
"""

from __future__ import annotations

import numpy as np

from ostinato.gguf.blocks.format import Format, by_sub_block, factor, unpack
from ostinato.gguf.blocks.grids import points
from ostinato.gguf.grids_table import IQ1

IQ1_S_LAYOUT = np.dtype([("d", "<f2"), ("qs", "u1", 32), ("qh", "<u2", 8)])
IQ1_M_LAYOUT = np.dtype([("qs", "u1", 32), ("qh", "u1", 16), ("scales", "<u2", 4)])

_POINTS = points(IQ1)
_DELTA = np.float32(0.125)
_THREE_BITS = np.arange(0, 12, 3, dtype=np.uint16)  # where fields of three bits begin in a word


def _dequantize_iq1_s(blocks: np.ndarray) -> np.ndarray:
    qh = blocks["qh"]
    high = (qh[:, :, None] >> _THREE_BITS & 7).reshape(len(blocks), -1)
    scales = factor(blocks["d"]) * (2 * (qh >> 12 & 7) + 1).astype(np.float32)
    return by_sub_block(scales, _values(blocks["qs"], high, np.repeat(qh >> 15, 4, axis=1)))


def _dequantize_iq1_m(blocks: np.ndarray) -> np.ndarray:
    words = blocks["scales"]
    nibbles = words >> 12 << np.arange(0, 16, 4, dtype=np.uint16)
    d = np.bitwise_or.reduce(nibbles, axis=1).view(np.float16)
    bits = (words[:, :, None] >> _THREE_BITS & 7).reshape(len(blocks), -1)
    high = unpack(blocks["qh"], bits=4, run=1)
    scales = factor(d) * (2 * bits + 1).astype(np.float32)
    return by_sub_block(scales, _values(blocks["qs"], high & 7, high >> 3))


def _values(low: np.ndarray, high: np.ndarray, minus: np.ndarray) -> np.ndarray:
    """v + delta, float32 [n, 256], from low and high bits of indices and delta's signs, [n, 32] each."""
    delta = np.where(minus == 1, -_DELTA, _DELTA)
    values: np.ndarray = _POINTS[low | high.astype(np.uint16) << 8] + delta[:, :, None]
    return values.reshape(len(low), -1)


IQ1_S = Format(IQ1_S_LAYOUT, _dequantize_iq1_s)
IQ1_M = Format(IQ1_M_LAYOUT, _dequantize_iq1_m)
