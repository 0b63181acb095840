"""F32, F16 and BF16: numbers as they are, a "block" being one of them."""

from __future__ import annotations

import numpy as np

from ostinato.gguf.blocks.format import Format

_QUIET = np.uint32(0x00400000)  # the bit that makes a NaN a quiet one
_INFINITY = np.uint32(0x7F800000)


def _from_float(numbers: np.ndarray) -> np.ndarray:
    return numbers.astype(np.float32)[:, None]


def _to_f32(values: np.ndarray) -> np.ndarray:
    return values[:, 0]


def _to_f16(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # too large is infinity, as in ggml
        return values[:, 0].astype(np.float16)


def _from_bf16(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32)[:, None]


def _to_bf16(values: np.ndarray) -> np.ndarray:
    """The upper half of each float32, rounded to nearest even; a NaN stays one."""
    bits = values[:, 0].view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> 16) & np.uint32(1))
    nan = (bits & np.uint32(0x7FFFFFFF)) > _INFINITY
    return (np.where(nan, bits | _QUIET, rounded) >> 16).astype(np.uint16)


F32 = Format(np.dtype("<f4"), _from_float, _to_f32)
F16 = Format(np.dtype("<f2"), _from_float, _to_f16)
BF16 = Format(np.dtype("<u2"), _from_bf16, _to_bf16)
