"""IQ4_NL and IQ4_XS: codes of four bits that mean the 16 values of a table, v in [-127, 113].

IQ4_NL: 32 elements, x = d v, nibbles as in Q4_0. IQ4_XS: 256 elements in 8 sub-blocks of 32, x = (d scale) v, scale in
[-32, 31]: nibble j of `scales_l` has the low four bits of scale j + 32, bits 2 j and 2 j + 1 of `scales_h` the others.
"""

from __future__ import annotations

import numpy as np

from ostinato.gguf.blocks.format import Format, by_sub_block, factor, unpack
from ostinato.gguf.grids_table import IQ4_VALUES

IQ4_NL_LAYOUT = np.dtype([("d", "<f2"), ("qs", "u1", 16)])
IQ4_XS_LAYOUT = np.dtype([("d", "<f2"), ("scales_h", "u1", 2), ("scales_l", "u1", 4), ("qs", "u1", 128)])

_VALUES = np.array(IQ4_VALUES, np.float32)


def _dequantize_iq4_nl(blocks: np.ndarray) -> np.ndarray:
    values: np.ndarray = factor(blocks["d"]) * _VALUES[unpack(blocks["qs"], bits=4, run=16)]
    return values


def _dequantize_iq4_xs(blocks: np.ndarray) -> np.ndarray:
    bits = unpack(blocks["scales_l"], bits=4, run=1) | unpack(blocks["scales_h"], bits=2, run=1) << 4
    scales = factor(blocks["d"]) * (bits.astype(np.float32) - np.float32(32))
    return by_sub_block(scales, _VALUES[unpack(blocks["qs"], bits=4, run=16)])


IQ4_NL = Format(IQ4_NL_LAYOUT, _dequantize_iq4_nl)
IQ4_XS = Format(IQ4_XS_LAYOUT, _dequantize_iq4_xs)
