"""Small GGUF files with seeded random weights, dense or with experts, for tests and golden logits.

The weights depend on the seed, the tensor's name and its shape only (a PCG64 bit stream, whose values NumPy keeps
from release to release), so that every machine and every type starts from the same float32 values.

    python -m tools.tiny_models OUT.gguf --moe --type Q4_K
"""

from __future__ import annotations

import argparse
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ostinato.gguf.blocks import quantize
from ostinato.gguf.reader import open_gguf
from ostinato.gguf.types_table import TensorType
from ostinato.gguf.writer import GGUFWriter
from tools.llama_files import FILE_TYPES, LlamaShape, TensorPlan, add_architecture, plan
from tools.vocabularies import add_sentencepiece


def tiny_shape(moe: bool, layers: int = 2) -> LlamaShape:
    """Two layers of width 256, four heads over two KV heads; with `moe` eight experts, two of them used."""
    return LlamaShape(
        layers=layers,
        width=256,
        heads=4,
        kv_heads=2,
        feed_forward=256 if moe else 512,
        vocab=512,
        context=512,
        experts=8 if moe else 0,
        experts_used=2 if moe else 0,
    )


def random_weights(tensor: TensorPlan, seed: int) -> NDArray[np.float32]:
    """Uniform float32 values of the tensor's shape, scaled so that activations stay near 1 and logits near 2.

    Matrices have standard deviation 1 / sqrt(K) (embedding: 1; output and router: 2 / sqrt(K)); norms lie in 0.5..1.5.
    """
    count = int(np.prod(tensor.shape))
    source = np.random.PCG64([seed, zlib.crc32(tensor.name.encode())])
    unit = (source.random_raw(count) >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)  # [0, 1)
    if tensor.is_norm:
        return np.float32(0.5) + unit
    width = np.float32(math.sqrt(12.0) * _deviation(tensor))  # of a uniform distribution with this deviation
    return ((unit - np.float32(0.5)) * width).reshape(tensor.shape)


def _deviation(tensor: TensorPlan) -> float:
    if tensor.name == "token_embd.weight":
        return 1.0
    gain = 2.0 if tensor.name == "output.weight" or "ffn_gate_inp" in tensor.name else 1.0
    return gain / math.sqrt(tensor.shape[-1])


def weights_digest(path: Path) -> str:
    """SHA-256 over the stored bytes of all tensors of a GGUF file, in file order; metadata does not count."""
    digest = hashlib.sha256()
    with open_gguf(path) as file:
        for tensor in file.tensors.values():
            digest.update(tensor.data.data)
    return digest.hexdigest()


def write_tiny_model(
    path: Path | str, moe: bool = False, type: str = "F32", seed: int = 0, layers: int = 2
) -> LlamaShape:
    """Write the file and return its sizes.

    `type` is one of F32, F16, Q8_0, Q4_0, Q4_K, Q6_K (all matrices but the router) or the mix Q4_K_M.
    """
    shape = tiny_shape(moe, layers)
    tensors = plan(shape, type)
    with GGUFWriter(path) as writer:
        add_architecture(writer, shape, f"tiny {'moe' if moe else 'dense'} {type} seed {seed}", type)
        add_sentencepiece(writer, shape.vocab)
        for tensor in tensors:
            writer.add_tensor(tensor.name, tensor.shape, TensorType[tensor.type])
        for tensor in tensors:
            writer.write(tensor.name, quantize(random_weights(tensor, seed), TensorType[tensor.type]).data)
    return shape


def main() -> None:
    """Write one file."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--moe", action="store_true")
    parser.add_argument("--type", choices=FILE_TYPES, default="F32")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--layers", type=int, default=2)
    arguments = parser.parse_args()
    write_tiny_model(arguments.path, arguments.moe, arguments.type, arguments.seed, arguments.layers)


if __name__ == "__main__":
    main()
