"""Which experts the tokens of a text use, and how uneven, lasting and foreseeable that is.

    python -m bench.expert_use MODEL --tokens 2048 [--trace FILE]

The text of bench/topics.py goes through the CPU backend as one prompt, whose routing is recorded (engine/routing.py).
`--trace` saves what one sequence would want, token by token.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.topics import TEXT
from ostinato.engine.loading import Options, open_model
from ostinato.engine.routing import Recorder
from ostinato.gguf.reader import open_gguf
from ostinato.memory.routing import foreseen
from ostinato.memory.trace import Trace, make_trace

Use = NDArray[np.int32]  # [tokens, layers, used]: experts


@dataclass(frozen=True)
class Figures:
    """Means over layers (and tokens)."""

    experts: int
    used: int
    entropy: float  # bits of the distribution of use in this text, of log2(experts)
    top_quarter: float  # of all use, the part of each layer's most wanted quarter of experts
    reuse: float  # of a token's experts, the part that the token before used too (used / experts: chance)
    ahead: float  # of a layer's experts, the part that its router names on the input of the router before


def observe(path: Path, tokens: NDArray[np.int64], threads: int) -> tuple[Use, list[float]]:
    """The experts that each token uses in each layer, and the gate-ahead recall of every layer but the first."""
    opened = open_model(path, Options("cpu", threads, context=len(tokens), max_sequences=1))
    with Recorder(opened) as recorder:
        (routing,) = recorder.record(tokens.tolist())
    return np.stack(routing.chosen, axis=1), [recall for recall in foreseen(routing) if recall is not None]


def shared(ids: Use, others: Use) -> float:
    """Of the experts of each row [rows, used], the part that the same row of `others` has too."""
    return float((ids[:, :, None] == others[:, None, :]).any(axis=2).mean())


def figures(use: Use, recalls: list[float], experts: int) -> Figures:
    tokens, layers, used = use.shape
    counts = np.stack([np.bincount(use[:, layer].ravel(), minlength=experts) for layer in range(layers)])
    parts = np.sort(counts / (tokens * used), axis=1)[:, ::-1]
    bits = -(parts * np.log2(np.where(parts > 0, parts, 1))).sum(axis=1)
    reuse = [shared(use[1:, layer], use[:-1, layer]) for layer in range(layers)]
    quarter = parts[:, : experts // 4].sum(axis=1)
    return Figures(
        experts, used, float(bits.mean()), float(quarter.mean()), float(np.mean(reuse)), float(np.mean(recalls))
    )


def trace(use: Use, experts: int) -> Trace:
    """A step for every token and layer; expert e of layer l is parcel l x experts + e."""
    first = np.arange(use.shape[1])[:, None] * experts
    return make_trace((use + first).reshape(-1, use.shape[2]).tolist())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--seed", type=int, default=1, help="of the text")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--trace", type=Path)
    options = parser.parse_args()
    with open_gguf(options.model) as file:
        architecture = file.require("general.architecture", str)
        experts = file.require(f"{architecture}.expert_count", int)
        vocab = file.tensors["token_embd.weight"].shape[0]
    use, recalls = observe(options.model, TEXT.tokens(vocab, options.tokens, options.seed), options.threads)
    if options.trace:
        trace(use, experts).save(options.trace)
    print(json.dumps({**asdict(figures(use, recalls, experts)), "ahead_by_layer": recalls}))


if __name__ == "__main__":
    main()
