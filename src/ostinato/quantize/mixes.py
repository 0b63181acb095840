"""The mixes that a file can be quantised to: their names, their number in `general.file_type`, their usual type."""

from __future__ import annotations

from dataclasses import dataclass

from ostinato.gguf.types_table import TensorType

QUANTIZATION_VERSION = 2  # general.quantization_version: GGML_QNT_VERSION of ggml.h
PLAIN = frozenset({TensorType.F32, TensorType.F16, TensorType.BF16})


@dataclass(frozen=True)
class Mix:
    """`number` is that of llama.cpp's enum llama_ftype; most tensors get the type `base` (see `rules`)."""

    name: str
    number: int
    base: TensorType


MIXES = {
    name: Mix(name, number, base)
    for name, number, base in (
        ("F32", 0, TensorType.F32),
        ("F16", 1, TensorType.F16),
        ("BF16", 32, TensorType.BF16),
        ("Q8_0", 7, TensorType.Q8_0),
        ("Q4_0", 2, TensorType.Q4_0),
        ("Q4_1", 3, TensorType.Q4_1),
        ("Q5_0", 8, TensorType.Q5_0),
        ("Q5_1", 9, TensorType.Q5_1),
        ("Q2_K", 10, TensorType.Q2_K),
        ("Q3_K_S", 11, TensorType.Q3_K),
        ("Q3_K_M", 12, TensorType.Q3_K),
        ("Q3_K_L", 13, TensorType.Q3_K),
        ("Q4_K_S", 14, TensorType.Q4_K),
        ("Q4_K_M", 15, TensorType.Q4_K),
        ("Q5_K_S", 16, TensorType.Q5_K),
        ("Q5_K_M", 17, TensorType.Q5_K),
        ("Q6_K", 18, TensorType.Q6_K),
        ("IQ4_NL", 25, TensorType.IQ4_NL),
        ("IQ4_XS", 30, TensorType.IQ4_XS),
        ("MXFP4_MOE", 38, TensorType.MXFP4),
    )
}
