"""How fast values become blocks, and how far they are off: every type, beside ggml's own quantisers if they are there.

    python -m bench.quantize [--threads 1] [--rounds 5] [--types Q4_K,Q6_K]

Normally distributed values of the size of weights, in memory. Speeds are millions of weights a second, the best of the
rounds, which alternate; ggml's run on one thread (`ggml_quantize_chunk` of llama-cpp-python's library). Errors are root
mean squares over that of the values.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from ostinato.gguf.types_table import TensorType
from ostinato.quantize.encode import TARGETS, encode
from ostinato.quantize.mixes import PLAIN
from tests.quantize.llama import dequantize, quantize

SHAPE = (512, 4096)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def fastest(rounds: int, *works: Callable[[], object]) -> list[float]:
    """The best time of each; they take turns."""
    times = [[seconds(work) for work in works] for _ in range(rounds)]
    return [min(column) for column in zip(*times, strict=True)]


def has_ggml() -> bool:
    try:
        import llama_cpp  # noqa: F401
    except ImportError:
        return False
    return True


def relative_error(blocks: np.ndarray, type: TensorType, exact: np.ndarray) -> float:
    restored = dequantize(blocks.reshape(len(exact), -1), type).astype(np.float64)
    return float(np.sqrt(np.square(restored - exact).mean() / np.square(exact.astype(np.float64)).mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--types", default=",".join(type.name for type in sorted(TARGETS - PLAIN)))
    options = parser.parse_args()
    exact = (0.02 * np.random.default_rng(0).standard_normal(SHAPE)).astype(np.float32)
    peer = has_ggml()
    print(f"{'type':8}{'Mweights/s':>12}{'error':>10}{'ggml':>12}{'error':>10}")
    for name in options.types.split(","):
        makers = [partial(encode, exact, TensorType[name], options.threads)]
        makers += [partial(quantize, exact, TensorType[name])] if peer else []
        speeds = [exact.size / best / 1e6 for best in fastest(options.rounds, *makers)]
        errors = [relative_error(make(), TensorType[name], exact) for make in makers]
        print(f"{name:8}", *(f"{speed:11.0f}{error:10.6f}" for speed, error in zip(speeds, errors, strict=True)))


if __name__ == "__main__":
    main()
