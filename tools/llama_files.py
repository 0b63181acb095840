"""What a GGUF file of the llama architecture holds: sizes, tensors, metadata, and the usual mixes of types.

Shared by the makers of test files (`tiny_models.py`), of the built-in model and of the benchmark's big files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ostinato.gguf.writer import GGUFWriter

# general.file_type of llama.cpp (enum llama_ftype in include/llama.h).
FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7, "Q4_K": 15, "Q4_K_M": 15, "Q6_K": 18}


@dataclass(frozen=True)
class LlamaShape:
    """Sizes of a llama model; `experts` 0 means dense, and then `feed_forward` is the one expert's width."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    feed_forward: int
    vocab: int
    context: int
    experts: int = 0
    experts_used: int = 0
    tied: bool = False
    rope_base: float = 10000.0
    norm_epsilon: float = 1e-5

    @property
    def head_size(self) -> int:
        return self.width // self.heads


@dataclass(frozen=True)
class TensorPlan:
    """One tensor: its GGUF name, its shape in NumPy order (rows of `shape[-1]` elements) and its type's name."""

    name: str
    shape: tuple[int, ...]
    type: str

    @property
    def is_norm(self) -> bool:
        return len(self.shape) == 1


def use_more_bits(layer: int, layers: int) -> bool:
    """The layers to which llama.cpp's *_M mixes give more bits: first and last eighth, every third between."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def mixed_type(mix: str, name: str, shape: LlamaShape) -> str:
    """The type of a matrix in a file of the given mix, as llama.cpp's `llama-quantize` chooses for dense models.

    `Q4_K_M`: Q6_K for the output matrix and, where `use_more_bits`, for attn_v and ffn_down; Q4_K elsewhere. The
    router of a mixture of experts stays F32. In other quantised mixes only the output matrix differs: Q6_K, unless
    all is Q8_0. (For eight experts llama.cpp also raises attn_k, attn_v and attn_output; not done here.)
    """
    if name.endswith("ffn_gate_inp.weight"):
        return "F32"
    base = "Q4_K" if mix == "Q4_K_M" else mix
    if base in ("F32", "F16", "Q8_0"):
        return base
    if name == ("token_embd.weight" if shape.tied else "output.weight"):
        return "Q6_K"
    raised = mix == "Q4_K_M" and any(part in name for part in (".attn_v.", ".ffn_down"))
    return "Q6_K" if raised and use_more_bits(int(name.split(".")[1]), shape.layers) else base


def plan(shape: LlamaShape, mix: str) -> list[TensorPlan]:
    """All tensors of the file, in the order in which they lie in it; norms are F32."""
    return [
        TensorPlan(name, size, "F32" if len(size) == 1 else mixed_type(mix, name, shape))
        for name, size in _tensors(shape)
    ]


def _tensors(shape: LlamaShape) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "token_embd.weight", (shape.vocab, shape.width)
    for layer in range(shape.layers):
        for name, size in _layer_tensors(shape):
            yield f"blk.{layer}.{name}.weight", size
    yield "output_norm.weight", (shape.width,)
    if not shape.tied:
        yield "output.weight", (shape.vocab, shape.width)


def _layer_tensors(shape: LlamaShape) -> Iterator[tuple[str, tuple[int, ...]]]:
    kv_width = shape.kv_heads * shape.head_size
    yield "attn_norm", (shape.width,)
    yield "attn_q", (shape.width, shape.width)
    yield "attn_k", (kv_width, shape.width)
    yield "attn_v", (kv_width, shape.width)
    yield "attn_output", (shape.width, shape.width)
    yield "ffn_norm", (shape.width,)
    experts, suffix = ((), "") if not shape.experts else ((shape.experts,), "_exps")
    if shape.experts:
        yield "ffn_gate_inp", (shape.experts, shape.width)
    yield f"ffn_gate{suffix}", (*experts, shape.feed_forward, shape.width)
    yield f"ffn_up{suffix}", (*experts, shape.feed_forward, shape.width)
    yield f"ffn_down{suffix}", (*experts, shape.width, shape.feed_forward)


def add_architecture(writer: GGUFWriter, shape: LlamaShape, name: str, mix: str) -> None:
    """The `general.*` and `llama.*` metadata."""
    writer.add("general.architecture", "llama")
    writer.add("general.name", name)
    writer.add("general.file_type", FILE_TYPES[mix])
    writer.add("general.quantization_version", 2)
    writer.add("llama.block_count", shape.layers)
    writer.add("llama.context_length", shape.context)
    writer.add("llama.embedding_length", shape.width)
    writer.add("llama.feed_forward_length", shape.feed_forward)
    writer.add("llama.attention.head_count", shape.heads)
    writer.add("llama.attention.head_count_kv", shape.kv_heads)
    writer.add("llama.attention.layer_norm_rms_epsilon", shape.norm_epsilon)
    writer.add("llama.rope.dimension_count", shape.head_size)
    writer.add("llama.rope.freq_base", shape.rope_base)
    writer.add("llama.vocab_size", shape.vocab)
    if shape.experts:
        writer.add("llama.expert_count", shape.experts)
        writer.add("llama.expert_used_count", shape.experts_used)
