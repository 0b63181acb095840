"""llama.cpp's logits of the same files, to set our figures beside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np


def peer_logits(path: Path, tokens: Sequence[int]) -> np.ndarray:
    """Float32 [T, vocab] by llama.cpp on the CPU, keys and values as halves. ImportError without llama-cpp-python;
    ValueError for a file that it refuses."""
    import llama_cpp

    model = llama_cpp.Llama(
        str(path), n_ctx=max(len(tokens), 32), n_batch=1024, n_ubatch=1024, n_threads=1, n_gpu_layers=0,
        logits_all=True, verbose=False,
    )  # fmt: skip
    try:
        model.eval(list(tokens))
        return np.array(model.scores[: len(tokens)], np.float32)
    finally:
        model.close()
