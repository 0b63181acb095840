"""The floor under a decode step: the weights that one token needs must be read once, and memory is only so fast."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ostinato.gguf.reader import GGUFFile, Tensor, open_gguf

_BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_SLICE_BYTES = 256 << 20  # of each thread: beyond any last-level cache


def read_bandwidth(threads: int, passes: int = 5) -> float:
    """Bytes per second that `threads` threads read together, the best of `passes`.

    Every thread takes the dot product of its own float32 array with itself (one stream, vector loads, no stores,
    the interpreter lock released).
    """
    os.environ.update(dict.fromkeys(_BLAS_THREADS, "1"))  # the threads here are ours, so numpy comes after this
    import numpy as np

    arrays = [np.ones(_SLICE_BYTES // 4, np.float32) for _ in range(threads)]
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(passes):
            started = time.perf_counter()
            list(pool.map(lambda array: float(array @ array), arrays))
            best = max(best, threads * _SLICE_BYTES / (time.perf_counter() - started))
    return best


def bytes_per_token(path: Path) -> int:
    """Bytes of weights that one token of one sequence reads: all matrices, but of the experts only those in use,
    and one row of the embedding (all of it where it serves as output matrix too)."""
    with open_gguf(path) as file:
        return sum(_read_bytes(file, tensor) for tensor in file.tensors.values())


def _read_bytes(file: GGUFFile, tensor: Tensor) -> int:
    if tensor.name == "token_embd.weight" and "output.weight" in file.tensors:
        return tensor.nbytes // tensor.shape[0]
    if "_exps." in tensor.name:
        architecture = file.require("general.architecture", str)
        return tensor.nbytes * file.require(f"{architecture}.expert_used_count", int) // tensor.shape[0]
    return tensor.nbytes
