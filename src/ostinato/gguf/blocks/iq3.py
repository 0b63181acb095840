"""IQ3_XXS and IQ3_S: 256 elements, every four a point of a grid with signs, sub-blocks of 32.

IQ3_XXS: x = (d / 4) (2 scale + 1) v, scale in [0, 15]; a word of `words` for each sub-block has its scale and signs.
IQ3_S: x = d (2 scale + 1) v; bit i of `qh` is the ninth bit of index i; scales are nibbles.
"""

from __future__ import annotations

import numpy as np

from ostinato.gguf.blocks.format import Format, by_sub_block, factor, unpack, unpack_bits
from ostinato.gguf.blocks.grids import points, scales_and_signs, signed
from ostinato.gguf.grids_table import IQ3_S as IQ3_S_GRID
from ostinato.gguf.grids_table import IQ3_XXS as IQ3_XXS_GRID

IQ3_XXS_LAYOUT = np.dtype([("d", "<f2"), ("qs", "u1", 64), ("words", "<u4", 8)])
IQ3_S_LAYOUT = np.dtype([("d", "<f2"), ("qs", "u1", 64), ("qh", "u1", 8), ("signs", "u1", 32), ("scales", "u1", 4)])

_XXS_POINTS, _S_POINTS = points(IQ3_XXS_GRID), points(IQ3_S_GRID)


def _dequantize_iq3_xxs(blocks: np.ndarray) -> np.ndarray:
    bits, negative = scales_and_signs(blocks["words"])
    scales = factor(blocks["d"]) * (2 * bits + 1).astype(np.float32) * np.float32(0.25)
    return by_sub_block(scales, signed(_XXS_POINTS[blocks["qs"]], negative))


def _dequantize_iq3_s(blocks: np.ndarray) -> np.ndarray:
    indices = blocks["qs"] | unpack_bits(blocks["qh"]).astype(np.uint16) << 8
    scales = factor(blocks["d"]) * (2 * unpack(blocks["scales"], bits=4, run=1) + 1).astype(np.float32)
    return by_sub_block(scales, signed(_S_POINTS[indices], blocks["signs"]))


IQ3_XXS = Format(IQ3_XXS_LAYOUT, _dequantize_iq3_xxs)
IQ3_S = Format(IQ3_S_LAYOUT, _dequantize_iq3_s)
