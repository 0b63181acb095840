"""MXFP4 and NVFP4: four-bit floats (e2m1) with small float scales. x = d v, where v is twice the e2m1 value.

MXFP4 (OCP microscaling): 32 elements, d = 2^(e - 128), an e8m0 exponent halved; nibbles as in Q4_0. NVFP4: 64 elements
in four sub-blocks of 16, each with a ue4m3 scale, halved, whose 0x7F means 0; the eight bytes of a sub-block hold
elements 0..7 in the low nibbles and 8..15 in the high ones.
"""

from __future__ import annotations

import numpy as np

from ostinato.gguf.blocks.format import Format, by_sub_block, unpack
from ostinato.gguf.grids_table import FP4_VALUES

MXFP4_LAYOUT = np.dtype([("e", "u1"), ("qs", "u1", 16)])
NVFP4_LAYOUT = np.dtype([("d", "u1", 4), ("qs", "u1", 32)])

_VALUES = np.array(FP4_VALUES, np.float32)
_SMALLEST = -10  # the exponent of ue4m3's smallest step, halved
_MEANS_ZERO = 0x7F


def _dequantize_mxfp4(blocks: np.ndarray) -> np.ndarray:
    scale = np.ldexp(np.float32(1), blocks["e"].astype(np.int32) - 128)[:, None]
    values: np.ndarray = scale * _VALUES[unpack(blocks["qs"], bits=4, run=16)]  # 12 x 2^127 is infinity
    return values


def _dequantize_nvfp4(blocks: np.ndarray) -> np.ndarray:
    return by_sub_block(_from_ue4m3(blocks["d"]), _VALUES[unpack(blocks["qs"], bits=4, run=8)])


def _from_ue4m3(bits: np.ndarray) -> np.ndarray:
    """Half the value of unsigned e4m3 floats, float32; the top bit is ignored."""
    exponent, mantissa = (bits >> 3 & 15).astype(np.int32), bits & 7
    whole = np.where(exponent == 0, mantissa, mantissa + np.uint8(8)).astype(np.float32)
    values = np.ldexp(whole, np.maximum(exponent, 1) - 1 + _SMALLEST)
    return np.where(bits == _MEANS_ZERO, np.float32(0), values)


MXFP4 = Format(MXFP4_LAYOUT, _dequantize_mxfp4)
NVFP4 = Format(NVFP4_LAYOUT, _dequantize_nvfp4)
