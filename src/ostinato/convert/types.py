"""Which type a tensor of the file has, and its bytes, a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ostinato.convert.errors import ConvertError
from ostinato.convert.numbers import BLOCKS, STORED, Array, to_float32
from ostinato.convert.plan import Planned
from ostinato.convert.scaled import Scaled
from ostinato.gguf.blocks import quantize
from ostinato.gguf.types_table import TensorType

AUTO = "auto"
TYPES = {type.name: type for type in (TensorType.F32, TensorType.F16, TensorType.BF16, TensorType.Q8_0)}
FILE_TYPES = {TensorType.F32: 0, TensorType.F16: 1, TensorType.Q8_0: 7, TensorType.BF16: 32}  # llama.h, llama_ftype
_AT_ONCE = 1 << 21  # elements made float32 at once

# Small matrices whose rounding costs more than it saves; llama.cpp reads them as F32 only.
_KEPT = (
    "ffn_gate_inp.weight", "ffn_gate_inp_shexp.weight", "ssm_conv1d.weight", "shortconv.conv.weight",
    "position_embd.weight", "token_types.weight", "ssm_conv1d_q.weight", "ssm_conv1d_k.weight", "ssm_conv1d_v.weight",
)  # fmt: skip


def choose_type(planned: Planned, wanted: TensorType | None) -> TensorType:
    """`wanted` for matrices, F32 for vectors, norms, routers and convolutions; None keeps the checkpoint's type, BF16
    for 8-bit floats.
    Rows that do not hold whole blocks of `wanted` get F16."""
    if planned.dtype in BLOCKS:
        return BLOCKS[planned.dtype]
    name = planned.name
    if len(planned.shape) == 1 or not name.endswith(".weight") or name.endswith(("_norm.weight", *_KEPT)):
        return TensorType.F32
    if wanted is None:
        scaled = any(isinstance(source, Scaled) for source in planned.parts[0])
        return TensorType.BF16 if scaled else STORED.get(planned.dtype, TensorType.F32)
    return TensorType.F16 if planned.shape[-1] % wanted.block_elements else wanted


def encoded(planned: Planned, type: TensorType) -> Iterator[Array]:
    """The bytes of a tensor in order, as arrays of at most a few megabytes."""
    for index in range(len(planned.parts)):
        for rows in _rows(planned.part(index)):
            yield _encode(rows, type, planned)


def _rows(array: Array) -> Iterator[Array]:
    """The rows of an array, as many at once as is comfortable; nothing large is copied."""
    if array.ndim > 2:
        for matrix in array:
            yield from _rows(matrix)
        return
    matrix = array.reshape(1, -1) if array.ndim == 1 else array
    step = max(1, _AT_ONCE // matrix.shape[1])
    for start in range(0, len(matrix), step):
        yield matrix[start : start + step]


def _encode(rows: Array, type: TensorType, planned: Planned) -> Array:
    if STORED.get(rows.dtype) is type or BLOCKS.get(rows.dtype) is type:
        return np.ascontiguousarray(rows).view(np.uint8)
    values = to_float32(rows)
    _check_range(values, type, planned)
    try:
        return quantize(np.ascontiguousarray(values), type)
    except ValueError as error:
        raise ConvertError(f"{_where(planned)}: {error}") from None


def _check_range(values: Array, type: TensorType, planned: Planned) -> None:
    """F16 ends at 65504: what is larger would become infinite."""
    largest: Any = np.abs(values).max(initial=0)
    if type is TensorType.F16 and np.finfo(np.float16).max < largest < np.inf:
        raise ConvertError(f"{_where(planned)}: {largest:.6g} does not fit F16; choose BF16 or F32")


def _where(planned: Planned) -> str:
    return f"tensor {planned.parts[0][0].name!r:.120}"
