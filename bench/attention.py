"""Times `attend` alone on the CPU backend and prints JSON lines: microseconds a layer beside the two floors.

    PYTHONPATH=src python -m bench.attention [--heads 32/4/64 ...] [--contexts 512 8192 ...] [--kv f16 q8_0 ...]
        [--rows 1] [--threads 2] [--levels avx2 avx512]

A program of several equal attends reads a cache of random values; with `--rows` above 1 these are prompt rows, the last
ones of the context. Floors: bytes of the keys and values that are seen, at the speed at which `floor.py` reads memory
(a short context lies in caches, which are faster), and multiply-adds at the level's peak rate, measured in the same run
(0 where the level has no loop for it: native/cpu/roofline.h).
"""

from __future__ import annotations

import argparse
import json
import os
import time

import numpy as np

from bench.floor import read_bandwidth
from ostinato import _cpu
from ostinato.backends.batch import Batch, Enter, Span, TableEdit
from ostinato.backends.batch_table import Kind
from ostinato.backends.contract import Executable, KVType, Plan
from ostinato.backends.cpu import CpuBackend
from ostinato.backends.sampling import Sampling
from ostinato.gguf.types_table import TensorType
from ostinato.model.kinds_table import AttentionMask
from ostinato.model.weights import Tensor
from ostinato.program.builder import Builder
from ostinato.program.ir import CacheGroup, Programs
from tests.backends.opcase import MemoryTensor

HEADS = ("32/4/64", "32/8/128", "16/16/64")
CONTEXTS = (540, 8192, 32768)
VOCAB = 64
BLOCK = 16


def programs(heads: int, kv_heads: int, dim: int, layers: int) -> tuple[Programs, dict[str, MemoryTensor]]:
    """Queries from a table, attended to in every layer; the last result is the output."""
    table = np.random.default_rng(0).standard_normal((VOCAB, heads * dim), dtype=np.float32)
    tensors = {"q": MemoryTensor("q", TensorType.F32, table.shape, table.view(np.uint8).reshape(-1))}
    b = Builder(tensors)
    b.caches.append(CacheGroup("full", layers, kv_heads, dim, dim))
    x = b.add("embed", weights=(Tensor("q"),))
    for index in range(layers):
        x = b.add(
            "attend", x, cache=0, index=index, heads=heads, kv_heads=kv_heads, key_dim=dim, value_dim=dim,
            scale=dim**-0.5, mask=AttentionMask.CAUSAL, window=0, softcap=0.0,
        )  # fmt: skip
    program = b.program("attention", {"logits": b.add("select", x)}, heads * dim)
    return Programs(program, program), tensors


def random_cache(plan: Plan, group: CacheGroup) -> memoryview:
    """Small random numbers, whatever the type: halves and floats below 2, codes and scales of any size below that."""
    count = plan.cache_bytes(group) // 2
    halves = np.random.default_rng(1).integers(0x2C00, 0x3C00, min(count, 1 << 20), np.uint16)  # 1/16 to 1
    cache = np.empty(count + 32, np.uint16)
    cache = cache[-cache.ctypes.data % 64 // 2 :][:count]
    for start in range(0, count, len(halves)):
        cache[start : start + len(halves)] = halves[: count - start]
    return cache.view(np.uint8).data


def step(executable: Executable, plan: Plan, context: int, rows: int, first: bool) -> None:
    """The last `rows` positions of the context."""
    tables = [TableEdit(0, 0, 0, range(plan.blocks_per_sequence))] if first else []
    enters = [Enter(0, context, Sampling())] if first else []
    kind = Kind.GENERATED if rows == 1 else Kind.PROMPT
    tokens = [i % VOCAB for i in range(rows)]
    executable.submit(Batch([Span(0, kind, context - rows, tokens, 1)], enters, tables))
    executable.collect()


def measure(heads: str, context: int, kv_type: KVType, rows: int, threads: int, seconds: float) -> float:
    """Seconds of one attend, the best of many."""
    count, kv_heads, dim = map(int, heads.split("/"))
    group = CacheGroup("full", 1, kv_heads, dim, dim)
    layers = max(2, min(16, (256 << 20) // kv_type.bytes(group.elements(context))))
    plan = Plan(
        max_rows=rows, max_logit_rows=1, max_sequences=1, context=context, blocks=-(-context // BLOCK),
        block_size=BLOCK, kv_type=kv_type, threads=threads,
    )  # fmt: skip
    made, tensors = programs(count, kv_heads, dim, layers)
    plan = Plan(**{**vars(plan), "memory": {"full": random_cache(plan, made.caches[0])}})
    executable = CpuBackend().compile(made, tensors, plan)
    step(executable, plan, context, rows, True)
    best, end = float("inf"), time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.perf_counter()
        step(executable, plan, context, rows, False)
        best = min(best, time.perf_counter() - start)
    executable.close()
    return best / layers


def floors(heads: str, context: int, kv_type: KVType, rows: int, peak: float, bandwidth: float) -> dict[str, float]:
    """Microseconds of the bytes and of the multiply-adds, of which `peak` counts two operations a second each."""
    count, kv_heads, dim = map(int, heads.split("/"))
    seen = rows * (context - rows) + rows * (rows + 1) / 2
    return {
        "memory": kv_type.bytes(CacheGroup("", 1, kv_heads, dim, dim).elements(context)) / bandwidth * 1e6,
        "arithmetic": 4 * count * dim * seen / peak * 1e6 if peak else 0.0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", nargs="+", default=HEADS, help="query heads / KV heads / head size")
    parser.add_argument("--contexts", nargs="+", type=int, default=CONTEXTS)
    parser.add_argument("--kv", nargs="+", type=KVType, default=tuple(KVType))
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--levels", nargs="+", choices=_cpu.levels(), default=_cpu.levels()[-1:])
    parser.add_argument("--seconds", type=float, default=1.0, help="for each figure")
    options = parser.parse_args()
    bandwidth = read_bandwidth(options.threads)
    for level in options.levels:
        os.environ["OSTINATO_CPU"] = level
        _, peak = _cpu.peak_rates(options.threads)
        for heads in options.heads:
            for context in options.contexts:
                for kv_type in options.kv:
                    rows = min(options.rows, context)
                    took = 1e6 * measure(heads, context, kv_type, rows, options.threads, options.seconds)
                    floor = floors(heads, context, kv_type, rows, peak, bandwidth)
                    line = {"level": level, "heads": heads, "context": context, "kv": kv_type.value, "rows": rows,
                            "us": took, **floor, "share": max(floor.values()) / took}  # fmt: skip
                    shown = {
                        k: round(v, 2 if k == "share" else 1) if isinstance(v, float) else v for k, v in line.items()
                    }
                    print(json.dumps(shown), flush=True)


if __name__ == "__main__":
    main()
