"""Values to blocks, on all threads, a slice at a time (native/quantize)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ostinato import _quantize
from ostinato.gguf.blocks import dequantize
from ostinato.gguf.errors import GGUFError
from ostinato.gguf.reader import Tensor
from ostinato.gguf.types_table import TensorType
from ostinato.quantize.mixes import PLAIN

TARGETS = frozenset(TensorType(number) for number in _quantize.targets())
SLICE = 1 << 22  # elements encoded at once: whole blocks of every type, and float32 values of 16 MiB


def encode(values: np.ndarray, type: TensorType, threads: int) -> np.ndarray:
    """The blocks, uint8 [bytes], of float32 values [n]. ValueError names the first that the type cannot hold."""
    return _encode(np.ascontiguousarray(values, np.float32).reshape(-1).view(np.uint8), TensorType.F32, type, threads)


def encode_slices(tensor: Tensor, type: TensorType, threads: int) -> Iterator[tuple[int, np.ndarray]]:
    """Consecutive pieces of a tensor as blocks of `type`: bytes read, and the bytes, uint8 [n], made of them.

    Values keep their order, so `type` must have whole blocks in a row. A tensor that has the type already is copied;
    that it holds numbers is checked where its values are plain. Raises GGUFError, naming the tensor and the element,
    for values that `type` cannot hold.
    """
    form = tensor.type
    data = tensor.data
    step = SLICE // form.block_elements * form.block_bytes
    for start in range(0, len(data), step):
        piece = data[start : start + step]
        try:
            yield len(piece), _encode_stored(piece, form, type, threads)
        except _BadValueError as bad:
            element = start // form.block_bytes * form.block_elements + bad.index
            where = ", ".join(str(int(i)) for i in np.unravel_index(element, tensor.shape))
            what = f"element [{where}] is {bad}"
            raise GGUFError(tensor.part.path, tensor.offset + start, f"tensor {tensor.name!r}", what) from None
        tensor.part.file.release(tensor.offset + start, tensor.offset + start + len(piece))


class _BadValueError(ValueError):
    """Element `index` of what was to be encoded is `value`, which `type` cannot hold."""

    def __init__(self, index: int, value: float, type: TensorType) -> None:
        damaged = f"{value}: the file is damaged, or comes from a damaged one"
        super().__init__(f"{value:.6g}: too large for {type.name}" if np.isfinite(value) else damaged)
        self.index = index


def _encode_stored(piece: np.ndarray, form: TensorType, type: TensorType, threads: int) -> np.ndarray:
    if form is type and form not in PLAIN:
        return piece
    if form in PLAIN:
        return _encode(piece, form, type, threads)
    return encode(dequantize(piece, form, (_elements(piece, form),)), type, threads)


def _encode(data: np.ndarray, form: TensorType, type: TensorType, threads: int) -> np.ndarray:
    """From stored plain values, uint8 [bytes]."""
    out = np.empty(_elements(data, form) // type.block_elements * type.block_bytes, np.uint8)
    first = _quantize.encode(data, form, type, out, threads)
    if first >= 0:
        raise _bad_value(data, form, first, type)
    return out


def _bad_value(data: np.ndarray, form: TensorType, first: int, type: TensorType) -> _BadValueError:
    """Of the block that begins at value `first`: what is not a number, or the largest."""
    stored = data[first * form.block_bytes : (first + type.block_elements) * form.block_bytes]
    values = dequantize(stored, form, (_elements(stored, form),))
    index = int(np.argmax(np.where(np.isfinite(values), np.abs(values), np.inf)))
    return _BadValueError(first + index, float(values[index]), type)


def _elements(data: np.ndarray, form: TensorType) -> int:
    return len(data) // form.block_bytes * form.block_elements
