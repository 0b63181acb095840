"""Formats of one scale and codes of at most two bits: Q1_0, Q2_0 and the ternary TQ1_0, TQ2_0.

Q1_0: x = d or -d (bit 0), 128 elements. Q2_0, 64 elements, and TQ2_0, 256: x = d (q - 1), q in [0, 3]. TQ1_0: x =
d (t - 1), t in [0, 2], 256 elements, five base-3 digits a byte.
"""

from __future__ import annotations

import numpy as np

from ostinato.gguf.blocks.format import Format, factor, unpack, unpack_bits

Q1_0_LAYOUT = np.dtype([("d", "<f2"), ("qs", "u1", 16)])
Q2_0_LAYOUT = np.dtype([("d", "<f2"), ("qs", "u1", 16)])
TQ1_0_LAYOUT = np.dtype([("qs", "u1", 48), ("qh", "u1", 4), ("d", "<f2")])
TQ2_0_LAYOUT = np.dtype([("qs", "u1", 64), ("d", "<f2")])


def _dequantize_q1_0(blocks: np.ndarray) -> np.ndarray:
    return _centred(blocks, 2 * unpack_bits(blocks["qs"]))


def _dequantize_q2_0(blocks: np.ndarray) -> np.ndarray:
    return _centred(blocks, unpack(blocks["qs"], bits=2, run=1))


def _dequantize_tq1_0(blocks: np.ndarray) -> np.ndarray:
    """Runs of 32, 16 and 4 bytes hold 5, 5 and 4 digits of each byte."""
    first, second = blocks["qs"][:, :32], blocks["qs"][:, 32:]
    digits = [_digits(first, 5), _digits(second, 5), _digits(blocks["qh"], 4)]
    return _centred(blocks, np.concatenate(digits, axis=1))


def _dequantize_tq2_0(blocks: np.ndarray) -> np.ndarray:
    return _centred(blocks, unpack(blocks["qs"], bits=2, run=32))


def _centred(blocks: np.ndarray, codes: np.ndarray) -> np.ndarray:
    values: np.ndarray = factor(blocks["d"]) * (codes.astype(np.float32) - np.float32(1))
    return values


def _digits(packed: np.ndarray, count: int) -> np.ndarray:
    """The first base-3 digits, uint8 [n, count B], of bytes [n, B] that hold ceil(256 / 243 of their number).

    The byte is a fraction of 256: times 3^i, modulo 256, it is what is left of it below digit i, which is the whole
    part of three times that.
    """
    powers = (3 ** np.arange(count)).astype(np.uint8)[:, None]
    rest = packed[:, None, :] * powers
    digits: np.ndarray = (rest.astype(np.uint16) * 3 >> 8).astype(np.uint8)
    return digits.reshape(len(packed), -1)


Q1_0 = Format(Q1_0_LAYOUT, _dequantize_q1_0)
Q2_0 = Format(Q2_0_LAYOUT, _dequantize_q2_0)
TQ1_0 = Format(TQ1_0_LAYOUT, _dequantize_tq1_0)
TQ2_0 = Format(TQ2_0_LAYOUT, _dequantize_tq2_0)
