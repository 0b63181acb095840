"""What a block format consists of, and the arithmetic that formats share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Format:
    """A block format: `layout` of one stored block, and both directions for n blocks of E elements.

    `dequantize`: blocks [n] of `layout` -> float32 [n, E]. `quantize`: float32 [n, E], finite -> blocks [n].
    """

    layout: np.dtype[Any]
    dequantize: Callable[[np.ndarray], np.ndarray]
    quantize: Callable[[np.ndarray], np.ndarray]


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
