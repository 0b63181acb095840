"""Q8_1 and Q8_K: ggml's forms of activations, read should a file hold them. x = d q, q in [-128, 127].

The sums of q that lie beside them (Q8_1: d times all; Q8_K: over each 16) follow from q and are not used.
"""

from __future__ import annotations

import numpy as np

from ostinato.gguf.blocks.format import Format, factor

Q8_1_LAYOUT = np.dtype([("d", "<f2"), ("sum", "<f2"), ("qs", "i1", 32)])
Q8_K_LAYOUT = np.dtype([("d", "<f4"), ("qs", "i1", 256), ("sums", "<i2", 16)])


def _dequantize(blocks: np.ndarray) -> np.ndarray:
    values: np.ndarray = factor(blocks["d"]) * blocks["qs"].astype(np.float32)
    return values


Q8_1 = Format(Q8_1_LAYOUT, _dequantize)
Q8_K = Format(Q8_K_LAYOUT, _dequantize)
