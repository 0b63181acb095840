"""How fast this machine reads memory: the floor under every decode step that must read the weights once."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

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
