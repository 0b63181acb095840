"""Random blocks of every format, and what scales a hostile file may give them."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from ostinato.gguf.types_table import TensorType

Bytes = NDArray[np.uint8]

FLOATS = (TensorType.F32, TensorType.F16, TensorType.BF16)


@dataclass(frozen=True)
class Scales:
    """Where a format keeps its scales, `dtype` each at the byte offsets `at`; bit patterns of 1, of ordinary and odd
    ones."""

    at: tuple[int, ...]
    dtype: str
    one: int
    sane: tuple[int, int]  # patterns of positive scales that grow with them: a range
    odd: tuple[int, ...]


# float16: zeros, smallest and largest subnormal, largest numbers, infinities, NaN (quiet, signalling)
_HALF_ODD = (0, 0x8000, 1, 0x83FF, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00, 0x7C01)
_FLOAT_ODD = (0, 1 << 31, 1, 0x807FFFFF, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000)
_HALF_SANE = (0x1000, 0x1800)  # 2^-11 to 2^-9


def _halves(*at: int) -> Scales:
    return Scales(at, "<u2", 0x3C00, _HALF_SANE, _HALF_ODD)


_SCALES = {
    TensorType.Q4_1: _halves(0, 2),
    TensorType.Q5_1: _halves(0, 2),
    TensorType.Q2_K: _halves(80, 82),
    TensorType.Q3_K: _halves(108),
    TensorType.Q4_K: _halves(0, 2),
    TensorType.Q5_K: _halves(0, 2),
    TensorType.Q6_K: _halves(208),
    TensorType.Q8_K: Scales((0,), "<u4", 0x3F800000, (0x3A000000, 0x3B000000), _FLOAT_ODD),
    TensorType.IQ1_M: _halves(),
    TensorType.TQ1_0: _halves(52),
    TensorType.TQ2_0: _halves(64),
    TensorType.MXFP4: Scales((0,), "u1", 128, (116, 121), (0, 1, 2, 3, 127, 253, 254, 255)),
    TensorType.NVFP4: Scales((0, 1, 2, 3), "u1", 0x40, (8, 32), (0, 1, 7, 8, 0x7E, 0x7F, 0x80, 0x87, 0xFE, 0xFF)),
}


def scales(type: TensorType) -> Scales:
    return _SCALES.get(type, _halves(0))


def put_scales(blocks: Bytes, type: TensorType, patterns: NDArray[np.int64]) -> None:
    """Writes bit patterns [n, scales of a block] (or [n, 1] for all) into blocks [n, block bytes]."""
    where = scales(type)
    if type is TensorType.IQ1_M:  # a float16 in the top nibbles of four words
        for i in range(4):
            nibble = (patterns[:, 0] >> 4 * i & 15).astype(np.uint8)
            blocks[:, 49 + 2 * i] = blocks[:, 49 + 2 * i] & 15 | nibble << 4
    patterns = np.broadcast_to(patterns, (len(blocks), max(len(where.at), 1)))
    for column, at in enumerate(where.at):
        raw = np.ascontiguousarray(patterns[:, column]).astype(where.dtype)
        blocks[:, at : at + raw.itemsize] = raw[:, None].view(np.uint8)


def get_scales(blocks: Bytes, type: TensorType) -> NDArray[np.float32]:
    """The scales of blocks [n, block bytes], [n, scales of a block]."""
    if type is TensorType.IQ1_M:
        nibbles = blocks[:, 49::2].astype(np.uint16) >> 4 << np.arange(0, 16, 4, dtype=np.uint16)
        return np.bitwise_or.reduce(nibbles, axis=1)[:, None].view("<f2").astype(np.float32)
    where = scales(type)
    size = np.dtype(where.dtype).itemsize
    raw = np.stack([np.ascontiguousarray(blocks[:, at : at + size]) for at in where.at], axis=1)
    if type is TensorType.MXFP4:
        return np.ldexp(np.float32(1), raw[..., 0].astype(np.int32) - 128)
    if type is TensorType.NVFP4:
        return np.asarray(gguf.quants.NVFP4.ue4m3_to_fp32(raw[..., 0]), np.float32)
    return raw.view(where.dtype.replace("u", "f"))[..., 0].astype(np.float32)


def random_blocks(type: TensorType, count: int, rng: np.random.Generator) -> Bytes:
    """Any codes at all with ordinary scales (numbers of ordinary size for F32, F16, BF16): [count, block bytes]."""
    if type in FLOATS:
        numbers = rng.standard_normal((count, 1), np.float32)
        return np.asarray(gguf.quantize(numbers, gguf.GGMLQuantizationType(type))).view(np.uint8)
    blocks = rng.integers(0, 256, (count, type.block_bytes), np.uint8)
    put_scales(blocks, type, rng.integers(*scales(type).sane, (count, max(len(scales(type).at), 1))))
    return blocks


def oracle(blocks: Bytes, type: TensorType) -> NDArray[np.float32]:
    """Blocks [n, block bytes] as float32 [n, block elements]: by the `gguf` package, or by ggml where that cannot."""
    with np.errstate(all="ignore"):
        try:
            values = gguf.dequantize(blocks, gguf.GGMLQuantizationType(type))
        except (NotImplementedError, ValueError):  # the package knows neither the format nor, maybe, its number
            values = _by_ggml(blocks, type)
    return np.asarray(values, np.float32).reshape(len(blocks), -1)


_IN_GGML = {TensorType.Q1_0: "q1_0", TensorType.Q2_0: "q2_0", TensorType.Q8_K: "q8_K"}


def _by_ggml(blocks: Bytes, type: TensorType) -> NDArray[np.float32]:
    if type is TensorType.Q8_1:  # ggml only makes them: q times the scale
        return blocks[:, 4:].view(np.int8).astype(np.float32) * blocks[:, :2].copy().view("<f2").astype(np.float32)
    values = np.empty((len(blocks), type.block_elements), np.float32)
    raw = np.ascontiguousarray(blocks)
    function = getattr(_ggml(), f"dequantize_row_{_IN_GGML[type]}")
    function(ctypes.c_void_p(raw.ctypes.data), ctypes.c_void_p(values.ctypes.data), ctypes.c_int64(values.size))
    return values


@lru_cache
def _ggml() -> ctypes.CDLL:
    llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed (the `dev` extra)")
    return ctypes.CDLL(str(Path(llama_cpp.__file__).parent / "lib" / "libggml-base.so"))
