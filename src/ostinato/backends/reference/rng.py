"""Random numbers from a counter: Philox4x32-10 (Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, 2011).

RNG(seed, choice, position, draw) needs no state, so a draw is the same alone, in a crowd, and after a crash.
"""

from __future__ import annotations

import numpy as np

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (np.uint32(0x9E3779B9), np.uint32(0xBB67AE85))
_ROUNDS = 10


def philox(counter: tuple[np.ndarray, ...], key: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """Four uint32 words for each counter (four uint32 arrays of one shape) under a key of two words."""
    c0, c1, c2, c3 = (np.asarray(c, dtype=np.uint32) for c in counter)
    k0, k1 = np.uint32(key[0]), np.uint32(key[1])
    with np.errstate(over="ignore"):
        for _ in range(_ROUNDS):
            p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
            c0, c1, c2, c3 = _high(p1) ^ c1 ^ k0, _low(p1), _high(p0) ^ c3 ^ k1, _low(p0)
            k0, k1 = k0 + _WEYL[0], k1 + _WEYL[1]
    return c0, c1, c2, c3


def uniform(seed: int, choice: int, position: int, draws: np.ndarray) -> np.ndarray:
    """float32 in (0, 1), one for each draw number: the upper 23 bits of word 0, at the middle of their interval
    (2^23 intervals, so that every value is exact in float32)."""
    zeros = np.zeros_like(draws, dtype=np.uint32)
    counter = (zeros + np.uint32(position), zeros + np.uint32(choice), draws.astype(np.uint32), zeros)
    word = philox(counter, (seed & 0xFFFFFFFF, seed >> 32))[0]
    return ((word >> np.uint32(9)).astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-23)


def _high(product: np.ndarray) -> np.ndarray:
    return (product >> np.uint64(32)).astype(np.uint32)


def _low(product: np.ndarray) -> np.ndarray:
    return (product & np.uint64(0xFFFFFFFF)).astype(np.uint32)
