"""Random weights written directly as blocks, for benchmark files of real size: no float32 model is ever made.

Layouts as in `ostinato.gguf.blocks`; every generator gives weights of mean about 0 and the wanted deviation.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


def random_blocks(type: str, elements: int, deviation: float, rng: np.random.Generator) -> Bytes:
    """`elements` weights of standard deviation `deviation` as packed blocks [blocks, bytes per block]."""
    return _MAKERS[type](elements, deviation, rng)


def _octets(rng: np.random.Generator, rows: int, columns: int) -> Bytes:
    words = rng.integers(0, 2**64, size=-(-rows * columns // 8), dtype=np.uint64)
    return words.view(np.uint8)[: rows * columns].reshape(rows, columns)


def _scales(rng: np.random.Generator, blocks: int, mean: float) -> Bytes:
    """One float16 per block [blocks, 2 bytes], within a quarter of the mean."""
    return (mean * rng.uniform(0.75, 1.25, blocks)).astype("<f2")[:, None].view(np.uint8)


def _f32(elements: int, deviation: float, rng: np.random.Generator) -> Bytes:
    return (rng.standard_normal((elements, 1), dtype=np.float32) * np.float32(deviation)).view(np.uint8)


def _f16(elements: int, deviation: float, rng: np.random.Generator) -> Bytes:
    values = rng.standard_normal((elements, 1), dtype=np.float32) * np.float32(deviation)
    return values.astype("<f2").view(np.uint8)


def _q8_0(elements: int, deviation: float, rng: np.random.Generator) -> Bytes:
    """32 int8, uniform in -128..127: deviation 73.9."""
    blocks = elements // 32
    return np.hstack((_scales(rng, blocks, deviation / 73.9), _octets(rng, blocks, 32)))


def _q4_0(elements: int, deviation: float, rng: np.random.Generator) -> Bytes:
    """32 values d x (q - 8), q uniform in 0..15: deviation 4.61."""
    blocks = elements // 32
    return np.hstack((_scales(rng, blocks, deviation / 4.61), _octets(rng, blocks, 16)))


def _q4_k(elements: int, deviation: float, rng: np.random.Generator) -> Bytes:
    """256 values d x s x q - dmin x m: s in 32..63 (root mean square 48.4), m near s, dmin = 7.5 d for mean 0."""
    blocks = elements // 256
    scale = rng.integers(32, 64, (blocks, 8), dtype=np.uint8)
    least = np.clip(scale + rng.integers(-3, 4, scale.shape, dtype=np.int8), 0, 63).astype(np.uint8)
    d = _scales(rng, blocks, deviation / (48.4 * 4.61))
    dmin = (d.view("<f2") * np.float16(7.5)).view(np.uint8)
    return np.hstack((d, dmin, _pack_six_bits(scale, least), _octets(rng, blocks, 128)))


def _pack_six_bits(scale: Bytes, least: Bytes) -> Bytes:
    """Eight 6-bit scales and eight 6-bit minima [blocks, 8] as 12 bytes: low fours whole, the rest as nibbles
    with their upper two bits in the upper two bits of the first eight bytes."""
    high_scale, high_least = scale[:, 4:] >> 4 << 6, least[:, 4:] >> 4 << 6
    nibbles = (scale[:, 4:] & 15) | (least[:, 4:] & 15) << 4
    return np.hstack((scale[:, :4] | high_scale, least[:, :4] | high_least, nibbles))


def _q6_k(elements: int, deviation: float, rng: np.random.Generator) -> Bytes:
    """256 values d x s x (q - 32), q uniform in 0..63 (deviation 18.5), |s| in 64..127 (root mean square 97.2)."""
    blocks = elements // 256
    sign = rng.integers(0, 2, (blocks, 16), dtype=np.int8) * 2 - 1
    scales = sign * rng.integers(64, 128, (blocks, 16), dtype=np.int8)
    d = _scales(rng, blocks, deviation / (97.2 * 18.5))
    return np.hstack((_octets(rng, blocks, 192), scales.view(np.uint8), d))


_MAKERS: dict[str, Callable[[int, float, np.random.Generator], Bytes]] = {
    "F32": _f32,
    "F16": _f16,
    "Q8_0": _q8_0,
    "Q4_0": _q4_0,
    "Q4_K": _q4_k,
    "Q6_K": _q6_k,
}
