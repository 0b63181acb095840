"""Random blocks, read by the `gguf` package, have the wanted mean and deviation and no infinities."""

from __future__ import annotations

import gguf
import numpy as np
import pytest

from bench.random_blocks import random_blocks
from ostinato.gguf.types_table import TensorType

ELEMENTS = 256 * 512


@pytest.mark.parametrize("type", ["F32", "F16", "Q8_0", "Q4_0", "Q4_K", "Q6_K"])
def test_mean_and_deviation(type: str) -> None:
    packed = random_blocks(type, ELEMENTS, 0.02, np.random.default_rng(0))
    geometry = TensorType[type]
    assert packed.shape == (ELEMENTS // geometry.block_elements, geometry.block_bytes)
    flat = np.ascontiguousarray(packed).reshape(-1)
    weights = gguf.quants.dequantize(flat, gguf.GGMLQuantizationType[type])
    assert np.isfinite(weights).all()
    assert weights.std() == pytest.approx(0.02, rel=0.03)
    assert abs(weights.mean()) < 0.12 * 0.02  # Q4_0 has values -8..7: a mean of half a step


def test_a_seed_gives_the_same_bytes() -> None:
    one, two = (random_blocks("Q4_K", ELEMENTS, 1.0, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(one, two)
