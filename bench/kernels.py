"""Times the packed linear kernels on one thread and prints JSON lines: GB/s of weights read and GOPS.

    PYTHONPATH=src python -m bench.kernels [--types Q4_K ...] [--levels avx512 ...] [--rows 1 4 16 512]

Needs a development installation (`ostinato._kernels_test`). Single rows run over weights larger than any cache.
Processor time of the thread counts, best of several, so that neighbours on the machine disturb little.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from bench.random_blocks import random_blocks
from ostinato import _cpu
from ostinato import _kernels_test as native
from ostinato.gguf.types_table import TensorType

SHAPES = ((2048, 2048), (5632, 2048), (2048, 5632))  # weight rows x columns: a 1.1B llama's
STREAMED_BYTES = 96 << 20  # single rows: larger than the last-level cache
TYPES = ("Q4_K", "Q6_K", "Q8_0", "Q4_0", "F16", "F32")
LEVELS = ("portable", "avx2", "avx512", "amx", "neon", "i8mm")


def aligned(size: int) -> np.ndarray:
    raw = np.zeros(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size]


def measure(level: native.Level, type: TensorType, n: int, k: int, rows: int, repeats: int) -> dict[str, object]:
    """The best of `repeats` products of [rows, k] activations with [n, k] weights."""
    row_bytes = k // type.block_elements * type.block_bytes
    rng = np.random.default_rng(0)
    part = random_blocks(type.name, 64 * k, 0.02, rng).reshape(-1)
    copies = max(n, STREAMED_BYTES // row_bytes if rows == 1 else 0) // 64
    weights, n = np.tile(part, copies), 64 * copies
    x = rng.standard_normal(rows * k, dtype=np.float32)
    packed = aligned(rows * level.packed_bytes(type, k))
    level.pack(type, x, k, packed)
    out = np.zeros(rows * n, np.float32)
    best = float("inf")
    for _ in range(repeats):
        start = time.thread_time()
        level.matmul(type, weights, n, row_bytes, k, packed, rows, out, n)
        best = min(best, time.thread_time() - start)
    return {
        "rows": rows, "n": n, "k": k, "seconds": best,
        "GB/s": round(weights.nbytes / best / 1e9, 2), "GOPS": round(2 * n * k * rows / best / 1e9, 1),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--types", nargs="+", default=TYPES, choices=TYPES)
    parser.add_argument("--levels", nargs="+", default=_cpu.levels()[1:], choices=LEVELS)
    parser.add_argument("--rows", nargs="+", type=int, default=(1, 4, 16, 512))
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    for name in options.levels:
        level = native.Level(name)
        for type in options.types:
            for n, k in SHAPES:
                for rows in options.rows:
                    result = measure(level, TensorType[type], n, k, rows, options.repeats)
                    print(json.dumps({"level": name, "type": type, **result}), flush=True)


if __name__ == "__main__":
    main()
