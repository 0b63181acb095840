"""Write a mixture of experts with random weights whose routers are constructed, so that which experts a token uses is
uneven, lasts from token to token, and shows a layer ahead, as in trained models.

    python -m bench.routed middle --out models/moe-middle-Q4_K_M.gguf

The first SIGNAL dimensions of the residual stream carry what routers read: dimension 0 is constant in all embeddings
(through it every expert has a bias), the others hold a vector of the token's topic and one of its own. Routers read
these dimensions alone; what layers add to them is scaled by `drift`. The rest of the file is as random as
bench/write_model.py makes it, and has the same shapes and types.
"""

from __future__ import annotations

import argparse
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.random_blocks import random_blocks
from bench.topics import TEXT, Text
from bench.write_model import PRESETS, deviation, random_contents
from ostinato.gguf.types_table import TensorType
from ostinato.gguf.writer import GGUFWriter
from ostinato.quantize.encode import encode
from tools.llama_files import LlamaShape, TensorPlan, add_architecture, plan
from tools.vocabularies import add_sentencepiece

SIGNAL = 256  # dimensions: a super-block of the embedding
CONSTANT = 2.0  # what dimension 0 holds; the others have deviation 1
PRESET, TYPE = "moe-64x", "Q4_K_M"


@dataclass(frozen=True)
class Routing:
    """How uneven, lasting and foreseeable the use of experts is (bench/expert_use.py measures what comes of it)."""

    topic: float  # of a word's signal, the part (of its variance) that the words of its topic share
    skew: float  # deviation of experts' biases; what they differ by from token to token has deviation 1
    drift: float  # of what layers add to the signal, as a part of what they add to other dimensions


ROUTINGS = {
    "weak": Routing(topic=0.3, skew=0.0, drift=0.4),
    "middle": Routing(topic=0.6, skew=0.6, drift=0.3),
    "published": Routing(topic=0.7, skew=0.9, drift=0.23),  # near Qwen3-30B-A3B (docs/log.md has whose figures)
    "strong": Routing(topic=0.75, skew=1.2, drift=0.2),
}


@dataclass(frozen=True)
class _Maker:
    shape: LlamaShape
    routing: Routing
    text: Text

    def contents(self, tensor: TensorPlan, rng: np.random.Generator) -> bytes:
        kind = tensor.name.removesuffix(".weight").rpartition(".")[2]
        match kind:
            case "token_embd":
                return self._embedding(tensor, rng).tobytes()
            case "ffn_gate_inp":
                return self._router(rng).astype("<f4").tobytes()
            case "ffn_norm":
                gains = np.frombuffer(random_contents(tensor, rng), "<f4").copy()
                gains[:SIGNAL] = 1
                return gains.tobytes()
            case "attn_output" | "ffn_down_exps":
                return self._writer(tensor, rng).tobytes()
        return random_contents(tensor, rng)

    def _embedding(self, tensor: TensorPlan, rng: np.random.Generator) -> NDArray[np.uint8]:
        vocab, width = tensor.shape
        signal = self._signal(vocab, rng)
        coded = encode(signal, TensorType[tensor.type], os.cpu_count() or 1).reshape(vocab, -1)
        rest = random_blocks(tensor.type, vocab * (width - SIGNAL), deviation(tensor), rng).reshape(vocab, -1)
        return np.hstack((coded, rest))

    def _signal(self, vocab: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """[vocab, SIGNAL]."""
        topics = rng.standard_normal((self.text.topics, SIGNAL), dtype=np.float32)
        signal = rng.standard_normal((vocab, SIGNAL), dtype=np.float32)
        topic_of = self.text.topic_of(vocab)
        words = topic_of >= 0
        shared = np.float32(self.routing.topic)
        signal[words] = np.sqrt(1 - shared) * signal[words] + np.sqrt(shared) * topics[topic_of[words]]
        signal[:, 0] = CONSTANT
        return signal

    def _router(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """[experts, width]: by layers independent of one another."""
        router = np.zeros((self.shape.experts, self.shape.width), np.float32)
        router[:, :SIGNAL] = rng.standard_normal((self.shape.experts, SIGNAL)) / math.sqrt(SIGNAL - 1)
        router[:, 0] = self.routing.skew / CONSTANT * rng.standard_normal(self.shape.experts)
        return router

    def _writer(self, tensor: TensorPlan, rng: np.random.Generator) -> NDArray[np.uint8]:
        """A matrix whose outputs are added to the residual stream: [experts?, width, k] with scaled first rows."""
        *stacked, rows, k = tensor.shape
        count = math.prod(stacked)

        def part(rows: int, scale: float) -> NDArray[np.uint8]:
            return random_blocks(tensor.type, count * rows * k, scale * deviation(tensor), rng).reshape(count, rows, -1)

        parts = part(1, 0.0), part(SIGNAL - 1, self.routing.drift), part(rows - SIGNAL, 1.0)
        return np.concatenate(parts, axis=1)


def write_routed(
    path: Path, routing: Routing, name: str, shape: LlamaShape = PRESETS[PRESET], text: Text = TEXT, seed: int = 0
) -> None:
    """Write the file; equal arguments give equal bytes (with the same NumPy)."""
    maker = _Maker(shape, routing, text)
    tensors = plan(shape, TYPE)
    with GGUFWriter(path) as writer:
        add_architecture(writer, shape, f"{PRESET} {TYPE}, random weights, routing {name}", TYPE)
        add_sentencepiece(writer, shape.vocab)
        for tensor in tensors:
            writer.add_tensor(tensor.name, tensor.shape, TensorType[tensor.type])
        for index, tensor in enumerate(tensors):
            writer.write(tensor.name, maker.contents(tensor, np.random.default_rng([seed, index])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("routing", choices=ROUTINGS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    write_routed(arguments.out, ROUTINGS[arguments.routing], arguments.routing, seed=arguments.seed)
    print(f"{arguments.out}: {arguments.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
