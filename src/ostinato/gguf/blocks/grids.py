"""What the formats on grids share: points looked up by index, and signs."""

from __future__ import annotations

import numpy as np

from ostinato.gguf.blocks.format import unpack_bits
from ostinato.gguf.grids_table import Grid, signs

_SIGNS = np.array([signs(index) for index in range(128)], np.uint8)


def points(grid: Grid) -> np.ndarray:
    """The grid's points, float32 [points, width]."""
    return np.array(grid.points, np.float32)


def signed(values: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Values [n, ...] with the signs of bits (1 is minus), uint8 [n, ...], lowest first: float32 [n, E]."""
    flat = values.reshape(len(negative), -1)
    return np.where(unpack_bits(negative) == 1, -flat, flat)


def even_signs(indices: np.ndarray) -> np.ndarray:
    """Seven-bit indices as bytes of eight sign bits."""
    return _SIGNS[indices]


def scales_and_signs(words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Words of 32 bits [n, subs]: the scale in the top four, uint32 [n, subs], and four seven-bit sign indices below:
    sign bits, uint8 [n, 4 subs]."""
    indices = words[:, :, None] >> np.arange(0, 28, 7, dtype=np.uint32) & 127
    return words >> 28, even_signs(indices).reshape(len(words), -1)
