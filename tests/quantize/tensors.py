"""Values to be quantised: like weights, and unlike them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ostinato.gguf.types_table import TensorType

Floats = NDArray[np.float32]

TYPES = tuple(
    TensorType[name]
    for name in (
        "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4",
    )
)  # fmt: skip
SHAPE = (32, 1024)

_MAKERS: dict[str, Callable[[np.random.Generator], NDArray[np.float64]]] = {
    "normal": lambda rng: 0.02 * rng.standard_normal(SHAPE),
    "heavy tails": lambda rng: 0.01 * rng.standard_t(2, SHAPE),
    "uniform": lambda rng: rng.uniform(-1, 1, SHAPE),
    "positive": lambda rng: np.abs(rng.standard_normal(SHAPE)),
    "negative": lambda rng: -np.abs(rng.standard_normal(SHAPE)),
    "far from zero": lambda rng: 1 + 0.01 * rng.standard_normal(SHAPE),
    "constant": lambda rng: np.full(SHAPE, 0.25),
    "negative constant": lambda rng: np.full(SHAPE, -0.3),
    "two values": lambda rng: np.sign(rng.standard_normal(SHAPE)),
    "sparse": lambda rng: np.where(rng.random(SHAPE) < 0.05, rng.standard_normal(SHAPE), 0),
    "zero": lambda rng: np.zeros(SHAPE),
    "small": lambda rng: 1e-4 * rng.standard_normal(SHAPE),
    "tiny": lambda rng: 1e-6 * rng.standard_normal(SHAPE),
    "below all": lambda rng: 1e-25 * rng.standard_normal(SHAPE),
    "large": lambda rng: 1e4 * rng.standard_normal(SHAPE),
    "mixed rows": lambda rng: rng.standard_normal(SHAPE) * 10.0 ** rng.integers(-5, 3, (SHAPE[0], 1)),
    "mixed": lambda rng: rng.standard_normal(SHAPE) * 10.0 ** rng.integers(-4, 2, SHAPE),
}
KINDS = tuple(_MAKERS)


def values(kind: str) -> Floats:
    """Seeded float32 values of SHAPE."""
    return _MAKERS[kind](np.random.default_rng(KINDS.index(kind))).astype(np.float32)


def error(restored: Floats, exact: Floats) -> tuple[float, float]:
    """Root mean squared error, largest error."""
    difference = np.abs(restored.astype(np.float64) - exact)
    return float(np.sqrt(np.square(difference).mean())), float(difference.max())
