"""Q5_0 and Q5_1: 32 elements: x = d (q - 16) and x = d q + m, q in [0, 31].

The low four bits of q lie in `qs` as in Q4_0; bit i of the 32-bit `qh` is the fifth of element i.
"""

from __future__ import annotations

import numpy as np

from ostinato.gguf.blocks.format import Format, factor, unpack, unpack_bits

Q5_0_LAYOUT = np.dtype([("d", "<f2"), ("qh", "u1", 4), ("qs", "u1", 16)])
Q5_1_LAYOUT = np.dtype([("d", "<f2"), ("m", "<f2"), ("qh", "u1", 4), ("qs", "u1", 16)])


def _dequantize_q5_0(blocks: np.ndarray) -> np.ndarray:
    values: np.ndarray = factor(blocks["d"]) * (_quants(blocks) - np.float32(16))
    return values


def _dequantize_q5_1(blocks: np.ndarray) -> np.ndarray:
    values: np.ndarray = factor(blocks["d"]) * _quants(blocks) + factor(blocks["m"])
    return values


def _quants(blocks: np.ndarray) -> np.ndarray:
    quants = unpack(blocks["qs"], bits=4, run=16) | unpack_bits(blocks["qh"]) << 4
    return quants.astype(np.float32)


Q5_0 = Format(Q5_0_LAYOUT, _dequantize_q5_0)
Q5_1 = Format(Q5_1_LAYOUT, _dequantize_q5_1)
