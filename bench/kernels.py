"""Times the packed linear kernels and prints JSON lines: GB/s of weights read, GOPS a thread.

    PYTHONPATH=src python -m bench.kernels [--types Q4_K ...] [--levels avx512 ...] [--rows 1 4 16 512] [--threads 2]

Needs a development installation (`ostinato._kernels_test`). As in the executor, threads take tasks of 64 weight rows.
Up to 32 rows the weights are mapped matrices that together are larger than any cache. Best of several: processor time
with one thread, so that neighbours on the machine disturb little; with more, which share the memory's speed, time.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time

import numpy as np

from bench.random_blocks import random_blocks
from ostinato import _cpu
from ostinato import _kernels_test as native
from ostinato.gguf.types_table import TensorType

SHAPES = ((2048, 2048), (5632, 2048), (2048, 5632))  # weight rows x columns: a 1.1B llama's
STREAMED_BYTES = 512 << 20  # far larger than the last-level cache
STREAMED_ROWS = 32  # up to so many
PER_TASK = 64  # weight rows
TYPES = ("Q4_K", "Q6_K", "Q8_0", "Q4_0", "F16", "F32")
LEVELS = ("portable", "avx2", "avx512", "amx", "neon", "i8mm")


def aligned(size: int) -> np.ndarray:
    raw = np.zeros(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size]


def mapped(weights: np.ndarray) -> np.ndarray:
    """The same in a mapped file, as models are read: in small pages."""
    with tempfile.TemporaryFile() as file:
        file.write(weights.data)
        return np.memmap(file, np.uint8, "r+")


def measure(
    level: native.Level, type: TensorType, n: int, k: int, rows: int, threads: int, repeats: int
) -> dict[str, object]:
    """The best of `repeats` products of [rows, k] activations with one or more matrices [n, k]."""
    row_bytes = k // type.block_elements * type.block_bytes
    rng = np.random.default_rng(0)
    part = random_blocks(type.name, 64 * k, 0.02, rng).reshape(-1)
    copies = -(-STREAMED_BYTES // (n * row_bytes)) if rows <= STREAMED_ROWS else 1
    weights = mapped(np.tile(part, copies * n // 64))
    x = rng.standard_normal(rows * k, dtype=np.float32)
    packed = aligned(rows * level.packed_bytes(type, k))
    level.pack(type, x, k, packed)
    out = np.zeros(rows * n, np.float32)
    clock = time.thread_time if threads == 1 else time.perf_counter
    best = float("inf")
    for _ in range(repeats):
        start = clock()
        level.matmul_tasks(type, weights, n, row_bytes, k, packed, rows, out, PER_TASK, threads)
        best = min(best, clock() - start)
    operations = 2 * copies * n * k * rows
    return {
        "rows": rows, "n": n, "k": k, "seconds": best / copies, "GB/s": round(weights.nbytes / best / 1e9, 2),
        "GOPS a thread": round(operations / best / 1e9 / threads, 1),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--types", nargs="+", default=TYPES, choices=TYPES)
    parser.add_argument("--levels", nargs="+", default=_cpu.levels()[1:], choices=LEVELS)
    parser.add_argument("--rows", nargs="+", type=int, default=(1, 4, 16, 512))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    for name in options.levels:
        level = native.Level(name)
        for type in options.types:
            for n, k in SHAPES:
                for rows in options.rows:
                    result = measure(level, TensorType[type], n, k, rows, options.threads, options.repeats)
                    print(json.dumps({"level": name, "type": type, **result}), flush=True)


if __name__ == "__main__":
    main()
