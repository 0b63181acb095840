"""Write a GGUF file of a real model's shape with random weights, one tensor in memory at a time.

    python -m bench.write_model tinyllama-1.1b --type Q4_K_M --out models/tinyllama-1.1b-q4_k_m.gguf

Speed and equality do not depend on what the weights say, only on shapes and types; so no download is needed.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np

from bench.random_blocks import random_blocks
from ostinato.gguf.types_table import TensorType
from ostinato.gguf.writer import GGUFWriter
from tools.llama_files import FILE_TYPES, LlamaShape, TensorPlan, add_architecture, plan
from tools.vocabularies import add_sentencepiece

PRESETS = {
    # TinyLlama/TinyLlama-1.1B-Chat-v1.0, config.json
    "tinyllama-1.1b": LlamaShape(
        layers=22, width=2048, heads=32, kv_heads=4, feed_forward=5632, vocab=32000, context=2048
    ),
    # 64 experts of 768, 8 used: the proportions of today's sparse models, in the llama architecture
    "moe-64x": LlamaShape(
        layers=12,
        width=2048,
        heads=32,
        kv_heads=4,
        feed_forward=768,
        vocab=32000,
        context=2048,
        experts=64,
        experts_used=8,
    ),
    # meta-llama/Llama-3.2-1B and Llama-3.1-8B, config.json
    "llama-1b": LlamaShape(
        layers=16, width=2048, heads=32, kv_heads=8, feed_forward=8192, vocab=128256, context=131072
    ),
    "llama-8b": LlamaShape(
        layers=32, width=4096, heads=32, kv_heads=8, feed_forward=14336, vocab=128256, context=131072
    ),
    # Qwen/Qwen3-30B-A3B's layers and experts, in the llama architecture (whose heads are half as wide)
    "moe-30b-a3b": LlamaShape(
        layers=48,
        width=2048,
        heads=32,
        kv_heads=4,
        feed_forward=768,
        vocab=151936,
        context=40960,
        experts=128,
        experts_used=8,
    ),
}


def deviation(tensor: TensorPlan) -> float:
    """1 / sqrt(K), which keeps activations near 1; twice that for logits and router."""
    sharp = tensor.name == "output.weight" or "ffn_gate_inp" in tensor.name
    return (2.0 if sharp else 1.0) / math.sqrt(tensor.shape[-1])


def random_contents(tensor: TensorPlan, rng: np.random.Generator) -> bytes:
    elements = int(np.prod(tensor.shape))
    if tensor.is_norm:
        return rng.uniform(0.5, 1.5, elements).astype("<f4").tobytes()
    return random_blocks(tensor.type, elements, deviation(tensor), rng).tobytes()


def write_model(path: Path, shape: LlamaShape, type: str, name: str, seed: int = 0) -> None:
    """Write the file; equal arguments give equal bytes (with the same NumPy)."""
    tensors = plan(shape, type)
    with GGUFWriter(path) as writer:
        add_architecture(writer, shape, f"{name} {type}, random weights", type)
        add_sentencepiece(writer, shape.vocab)
        for tensor in tensors:
            writer.add_tensor(tensor.name, tensor.shape, TensorType[tensor.type])
        for index, tensor in enumerate(tensors):
            writer.write(tensor.name, random_contents(tensor, np.random.default_rng([seed, index])))


def main() -> None:
    """Write one file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", choices=PRESETS)
    parser.add_argument("--type", choices=FILE_TYPES, default="Q4_K_M")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    started = time.monotonic()
    write_model(arguments.out, PRESETS[arguments.preset], arguments.type, arguments.preset, arguments.seed)
    size = arguments.out.stat().st_size
    print(f"{arguments.out}: {size} bytes in {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    main()
