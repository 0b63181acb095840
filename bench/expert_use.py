"""Which experts the tokens of a text use, and how uneven, lasting and foreseeable that is.

    python -m bench.expert_use MODEL --tokens 2048 [--trace FILE]

The text of bench/topics.py goes through the CPU backend as one prompt, with the routers' choices and the residual
stream before them as further outputs of the program. `--trace` saves what one sequence would want, token by token.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.topics import TEXT
from ostinato.backends.batch import Batch, Enter, Span, TableEdit
from ostinato.backends.batch_table import Kind
from ostinato.backends.reference import dequantized
from ostinato.backends.sampling import Sampling
from ostinato.engine.loading import Opened, Options, open_model
from ostinato.gguf.reader import open_gguf
from ostinato.memory.trace import Trace, make_trace
from ostinato.model.weights import resolve
from ostinato.program.ir import Instruction, Program

Use = NDArray[np.int32]  # [tokens, layers, used]: experts
EPSILON = 1e-5  # of the llama architecture's norms here


@dataclass(frozen=True)
class Figures:
    """Means over layers (and tokens)."""

    experts: int
    used: int
    entropy: float  # bits of the distribution of use in this text, of log2(experts)
    top_quarter: float  # of all use, the part of each layer's most wanted quarter of experts
    reuse: float  # of a token's experts, the part that the token before used too (used / experts: chance)
    ahead: float  # of a layer's experts, the part that its router names on the input of the router before


@dataclass(frozen=True)
class _Layer:
    """What is taken out of the program at a router: names of values, and the weights before and of it."""

    ids: str
    residual: str
    gain: NDArray[np.float32]
    router: NDArray[np.float32]


def observe(path: Path, tokens: NDArray[np.int64], threads: int) -> tuple[Use, list[float]]:
    """The experts that each token uses in each layer, and the gate-ahead recall of every layer but the first."""
    opened = open_model(path, Options("cpu", threads, context=len(tokens), max_sequences=1))
    layers = _layers(opened)
    outputs = {f"{kind}.{i}": getattr(layer, kind) for i, layer in enumerate(layers) for kind in ("ids", "residual")}
    programs = replace(opened.programs, prefill=replace(opened.programs.prefill, outputs=outputs))
    executable = opened.backend.compile(programs, opened.file.tensors, opened.plan)
    found: list[Mapping[str, NDArray[np.float32]]] = []
    tables = [TableEdit(cache, 0, 0, range(opened.plan.blocks_per_sequence)) for cache in range(len(programs.caches))]
    for start in range(0, len(tokens), opened.plan.max_rows):
        rows = tokens[start : start + opened.plan.max_rows].tolist()
        enters = [] if start else [Enter(0, len(tokens), Sampling(temperature=0))]
        executable.submit(Batch([Span(0, Kind.PROMPT, start, rows)], enters, [] if start else tables, want_logits=True))
        found.append(executable.collect().outputs)
    executable.close()
    ids = [np.concatenate([part[f"ids.{i}"] for part in found]).view(np.int32) for i in range(len(layers))]
    recalls = []
    for i in range(1, len(layers)):
        before = np.concatenate([part[f"residual.{i - 1}"] for part in found])
        recalls.append(shared(ids[i], _foreseen(before, layers[i], ids[i].shape[1])))
    return np.stack(ids, axis=1), recalls


def _layers(opened: Opened) -> list[_Layer]:
    program, tensors = opened.programs.prefill, opened.file.tensors
    layers = []
    for route in (i for i in program.instructions if i.op == "route"):
        norm = _maker(program, route.inputs[0])
        assert norm.op == "rms_norm"
        assert norm.inputs[0] is not None
        gain, router = (
            dequantized(resolve(weight, tensors)) for weight in (norm.weights[0], route.weights[0]) if weight
        )
        layers.append(_Layer(route.outputs[0], norm.inputs[0], gain, router))
    return layers


def _maker(program: Program, value: str | None) -> Instruction:
    return next(i for i in program.instructions if value in i.outputs)


def _foreseen(residual: NDArray[np.float32], layer: _Layer, used: int) -> Use:
    """What the layer's router would choose, were this its residual stream: [tokens, used]."""
    scale = np.sqrt((residual**2).mean(axis=1, keepdims=True) + EPSILON)
    logits = (residual / scale * layer.gain) @ layer.router.T
    return np.argpartition(-logits, used - 1, axis=1)[:, :used].astype(np.int32)


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
