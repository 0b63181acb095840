"""Block formats in NumPy: stored bytes <-> float32, exactly as the `gguf` package computes them.

The definition that every other implementation is compared with; not meant to be fast. One file per format or family;
files of some are only read. Formats are described in ggml-common.h and ggml-quants.c.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from ostinato.gguf.blocks import (
    activations,
    few_bits,
    fp4,
    iq1,
    iq2,
    iq3,
    iq4,
    plain,
    q2_k,
    q3_k,
    q4_0,
    q4_1,
    q4_k,
    q5,
    q5_k,
    q6_k,
    q8_0,
)
from ostinato.gguf.blocks.format import Format
from ostinato.gguf.types_table import TensorType, nbytes

_FORMATS: dict[TensorType, Format] = {
    TensorType.F32: plain.F32,
    TensorType.F16: plain.F16,
    TensorType.BF16: plain.BF16,
    TensorType.Q1_0: few_bits.Q1_0,
    TensorType.Q2_0: few_bits.Q2_0,
    TensorType.Q4_0: q4_0.FORMAT,
    TensorType.Q4_1: q4_1.FORMAT,
    TensorType.Q5_0: q5.Q5_0,
    TensorType.Q5_1: q5.Q5_1,
    TensorType.Q8_0: q8_0.FORMAT,
    TensorType.Q8_1: activations.Q8_1,
    TensorType.Q2_K: q2_k.FORMAT,
    TensorType.Q3_K: q3_k.FORMAT,
    TensorType.Q4_K: q4_k.FORMAT,
    TensorType.Q5_K: q5_k.FORMAT,
    TensorType.Q6_K: q6_k.FORMAT,
    TensorType.Q8_K: activations.Q8_K,
    TensorType.IQ1_S: iq1.IQ1_S,
    TensorType.IQ1_M: iq1.IQ1_M,
    TensorType.IQ2_XXS: iq2.IQ2_XXS,
    TensorType.IQ2_XS: iq2.IQ2_XS,
    TensorType.IQ2_S: iq2.IQ2_S,
    TensorType.IQ3_XXS: iq3.IQ3_XXS,
    TensorType.IQ3_S: iq3.IQ3_S,
    TensorType.IQ4_NL: iq4.IQ4_NL,
    TensorType.IQ4_XS: iq4.IQ4_XS,
    TensorType.TQ1_0: few_bits.TQ1_0,
    TensorType.TQ2_0: few_bits.TQ2_0,
    TensorType.MXFP4: fp4.MXFP4,
    TensorType.NVFP4: fp4.NVFP4,
}
FORMATS = frozenset(_FORMATS)  # types that can be read, and those that can be written
WRITABLE = frozenset(type for type, form in _FORMATS.items() if form.quantize is not None)
_AT_ONCE = 1 << 19  # elements converted at once: temporaries stay small, whatever the tensor's size
_TOO_LARGE = np.float32(1e9)  # beyond what any block scale (float16) reaches; squares still fit float32


def dequantize(data: np.ndarray, type: TensorType, shape: Sequence[int]) -> np.ndarray:
    """The float32 values [*shape] of a tensor's bytes, uint8 of any shape. ValueError if they do not fit together.

    `shape` is rows first. Raises BlockFormatError, naming it, for a type without a format here.
    """
    form = _format(type)
    if data.dtype != np.uint8 or data.size != nbytes(type, shape):
        expected = f"expected {nbytes(type, shape)} of uint8"
        raise ValueError(f"{data.size} elements of {data.dtype} for {type.name} of shape {tuple(shape)}; {expected}")
    blocks = np.ascontiguousarray(data).reshape(-1).view(form.layout)
    values = np.empty((prod(shape) // type.block_elements, type.block_elements), np.float32)
    with np.errstate(invalid="ignore", over="ignore"):  # a scale may be infinite, or no number
        for part in _parts(len(blocks), type):
            values[part] = form.dequantize(blocks[part])
    return values.reshape(shape)


def quantize(array: np.ndarray, type: TensorType) -> np.ndarray:
    """The bytes, uint8 [..., row bytes], of float32 values [..., K]; K must hold whole blocks.

    Raises ValueError for values that the type cannot hold: NaN and infinities (F32, F16 and BF16 keep them), scales
    that overflow. Raises BlockFormatError, naming it, for a type without a format here, or that is only read.
    """
    form = _format(type)
    quantizer = form.quantize
    if quantizer is None:
        known = ", ".join(known.name for known, form in _FORMATS.items() if form.quantize)
        raise BlockFormatError(f"cannot quantise to {type.name}; can: {known}")
    if array.dtype != np.float32 or not array.ndim:
        raise ValueError(f"an array of {array.dtype} with {array.ndim} axes; expected float32, at least one axis")
    row_bytes = nbytes(type, array.shape[-1:])
    values = np.ascontiguousarray(array).reshape(-1, type.block_elements)
    if type.block_elements > 1 and not (np.abs(values) < _TOO_LARGE).all():
        raise ValueError(f"NaN, infinity or a magnitude of {_TOO_LARGE} cannot be quantised to {type.name}")
    blocks = np.empty(len(values), form.layout)
    for part in _parts(len(values), type):
        blocks[part] = quantizer(values[part])
    return blocks.view(np.uint8).reshape(*array.shape[:-1], row_bytes)


class BlockFormatError(ValueError):
    """A tensor type that has no format here; the text names it and those that have."""


def _format(type: TensorType) -> Format:
    if type not in _FORMATS:
        known = ", ".join(known.name for known in _FORMATS)
        raise BlockFormatError(f"block format {type.name} is not supported; supported: {known}")
    return _FORMATS[type]


def _parts(blocks: int, type: TensorType) -> list[slice]:
    step = _AT_ONCE // type.block_elements
    return [slice(start, start + step) for start in range(0, blocks, step)]
