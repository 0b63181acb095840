"""IQ2_XXS, IQ2_XS and IQ2_S: 256 elements, every eight a point of a grid with signs: x = (d / 8) (2 scale + 1) v.

IQ2_XXS: sub-blocks of 32: four index bytes, then a word with scale and signs. IQ2_XS: sub-blocks of 16; a 16-bit word
of `qs` has nine bits of index and seven of signs. IQ2_S: sub-blocks of 16; bits 2 i and 2 i + 1 of `qh` are the top two
of index i. Scales of both are nibbles.
"""

from __future__ import annotations

import numpy as np

from ostinato.gguf.blocks.format import Format, by_sub_block, factor, unpack
from ostinato.gguf.blocks.grids import even_signs, points, scales_and_signs, signed
from ostinato.gguf.grids_table import IQ2_S as IQ2_S_GRID
from ostinato.gguf.grids_table import IQ2_XS as IQ2_XS_GRID
from ostinato.gguf.grids_table import IQ2_XXS as IQ2_XXS_GRID

_PAIR = np.dtype([("qs", "u1", 4), ("word", "<u4")])
IQ2_XXS_LAYOUT = np.dtype([("d", "<f2"), ("subs", _PAIR, 8)])
IQ2_XS_LAYOUT = np.dtype([("d", "<f2"), ("qs", "<u2", 32), ("scales", "u1", 8)])
IQ2_S_LAYOUT = np.dtype([("d", "<f2"), ("qs", "u1", 32), ("signs", "u1", 32), ("qh", "u1", 8), ("scales", "u1", 8)])

_XXS_POINTS, _XS_POINTS, _S_POINTS = points(IQ2_XXS_GRID), points(IQ2_XS_GRID), points(IQ2_S_GRID)


def _dequantize_iq2_xxs(blocks: np.ndarray) -> np.ndarray:
    bits, negative = scales_and_signs(blocks["subs"]["word"])
    return by_sub_block(_effective(blocks, bits), signed(_XXS_POINTS[blocks["subs"]["qs"]], negative))


def _dequantize_iq2_xs(blocks: np.ndarray) -> np.ndarray:
    values = signed(_XS_POINTS[blocks["qs"] & 511], even_signs(blocks["qs"] >> 9))
    return by_sub_block(_effective(blocks, unpack(blocks["scales"], bits=4, run=1)), values)


def _dequantize_iq2_s(blocks: np.ndarray) -> np.ndarray:
    indices = blocks["qs"] | unpack(blocks["qh"], bits=2, run=1).astype(np.uint16) << 8
    values = signed(_S_POINTS[indices], blocks["signs"])
    return by_sub_block(_effective(blocks, unpack(blocks["scales"], bits=4, run=1)), values)


def _effective(blocks: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """(d / 8) (2 scale + 1), float32 [n, subs]."""
    scales: np.ndarray = factor(blocks["d"]) * (2 * bits + 1).astype(np.float32) * np.float32(0.125)
    return scales


IQ2_XXS = Format(IQ2_XXS_LAYOUT, _dequantize_iq2_xxs)
IQ2_XS = Format(IQ2_XS_LAYOUT, _dequantize_iq2_xs)
IQ2_S = Format(IQ2_S_LAYOUT, _dequantize_iq2_s)
