"""The numbers of a checkpoint as NumPy arrays, also those that NumPy does not know.

BF16, the 8-bit floats and whole blocks are structured types of one field: they can be sliced, reshaped, transposed
and stacked as they lie in the mapped file, and become float32 only where arithmetic is done on them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ostinato.gguf.types_table import TensorType

Array = np.ndarray[Any, np.dtype[Any]]

BF16 = np.dtype([("bf16", "<u2")])
F8_E4M3 = np.dtype([("e4m3", "u1")])
F8_E5M2 = np.dtype([("e5m2", "u1")])
MXFP4 = np.dtype([("mxfp4", "u1", TensorType.MXFP4.block_bytes)])
BLOCKS = {MXFP4: TensorType.MXFP4}  # arrays of these are written as they are

STORED = {
    np.dtype("<f4"): TensorType.F32,
    np.dtype("<f2"): TensorType.F16,
    BF16: TensorType.BF16,
}


def to_float32(array: Array) -> Array:
    """The values as float32. ValueError for blocks."""
    if array.dtype == BF16:
        return (array["bf16"].astype(np.uint32) << 16).view(np.float32)
    if array.dtype == F8_E4M3:
        return _E4M3[array["e4m3"]]
    if array.dtype == F8_E5M2:  # the upper half of a float16
        return (array["e5m2"].astype(np.uint16) << 8).view(np.float16).astype(np.float32)
    if array.dtype in BLOCKS:
        raise ValueError(f"{BLOCKS[array.dtype].name} blocks are kept as they are")
    return array.astype(np.float32, copy=False)


def _e4m3() -> Array:
    """All 256 values of E4M3FN (Micikevicius et al., FP8 formats for deep learning): bias 7, no infinity, NaN at
    S.1111.111."""
    bits = np.arange(256)
    exponent, fraction = bits >> 3 & 15, bits & 7
    normal = (1 + fraction / 8) * 2.0 ** (exponent - 7)
    values = np.where(exponent == 0, fraction / 8 * 2.0**-6, normal) * np.where(bits > 127, -1, 1)
    values[[0x7F, 0xFF]] = np.nan
    return values.astype(np.float32)


_E4M3 = _e4m3()
