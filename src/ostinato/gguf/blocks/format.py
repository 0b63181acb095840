"""What a block format consists of, and the arithmetic that formats share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Format:
    """A block format: `layout` of one stored block, and the directions for n blocks of E elements that exist.

    `dequantize`: blocks [n] of `layout` -> float32 [n, E]. `quantize`: float32 [n, E], finite -> blocks [n]; None
    where files of the type are only read.
    """

    layout: np.dtype[Any]
    dequantize: Callable[[np.ndarray], np.ndarray]
    quantize: Callable[[np.ndarray], np.ndarray] | None = None


def factor(numbers: np.ndarray) -> np.ndarray:
    """One number per block, float16 or float32 [n], as a float32 factor of its elements, [n, 1]."""
    return numbers.astype(np.float32)[:, None]


def unpack(packed: np.ndarray, bits: int, run: int) -> np.ndarray:
    """Codes of 1, 2 or 4 bits, uint8 [n, E], from bytes [n, E bits / 8].

    Each `run` of bytes holds 8 / bits runs of as many codes: first the lowest bits of all its bytes, then the next.
    """
    shifts = np.arange(0, 8, bits, dtype=np.uint8)[:, None]
    codes = packed.reshape(len(packed), -1, 1, run) >> shifts & np.uint8((1 << bits) - 1)
    return codes.reshape(len(packed), -1)


def unpack_bits(packed: np.ndarray) -> np.ndarray:
    """The bits of bytes [..., B], lowest first: uint8 [..., 8 B]."""
    return np.unpackbits(packed, axis=-1, bitorder="little")


def by_sub_block(scales: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values [n, E] times the scales [n, subs] of their sub-blocks, float32."""
    subs = values.reshape(*scales.shape, -1).astype(np.float32)
    product: np.ndarray = scales.astype(np.float32)[:, :, None] * subs
    return product.reshape(values.shape)


def round_half_away(values: np.ndarray) -> np.ndarray:
    """To the nearest integer, halves away from zero (C's roundf); exact where adding 0.5 would round twice."""
    whole = np.trunc(values)
    rounded: np.ndarray = whole + np.trunc(2 * (values - whole))
    return rounded


def inverse(scale: np.ndarray) -> np.ndarray:
    """1 / scale; 0 for a scale of 0 or one so small that the quotient overflows (it is 0 as a half as well)."""
    with np.errstate(divide="ignore", over="ignore"):
        quotient = np.reciprocal(scale)
    return np.where(np.isinf(quotient), np.float32(0), quotient)


def half(scale: np.ndarray) -> np.ndarray:
    """The scale as stored, float16. ValueError where it overflows."""
    with np.errstate(over="ignore"):
        stored = scale.astype(np.float16)
    if np.isinf(stored).any():
        raise ValueError("values too large: the scale of a block overflows float16")
    return stored
