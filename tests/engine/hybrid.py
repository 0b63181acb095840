"""A small random model with recurrent layers: three gated delta nets and a layer of attention, as Qwen 3.5
has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ostinato.gguf.types_table import TensorType
from ostinato.gguf.writer import GGUFWriter

VOCAB, WIDTH, HIDDEN, LAYERS = 512, 256, 512, 4
HEADS, KV_HEADS, HEAD = 4, 2, 64  # of attention
KEYS, VALUES, DIM, TAPS = 2, 4, 64, 4  # heads of a delta net, their elements, and its convolution


def write_hybrid(path: Path) -> Path:
    """Writes the file, float32, seeded; returns its path."""
    random = np.random.default_rng(5)
    with GGUFWriter(path) as writer:
        for key, value in _metadata().items():
            writer.add(key, value)
        for name, shape in _shapes().items():
            writer.add_tensor(name, shape, TensorType.F32)
        for name, shape in _shapes().items():
            writer.write(name, _values(random, name, shape))
    return path


def _metadata() -> dict[str, str | int | float | list[int]]:
    sizes: dict[str, str | int | float | list[int]] = {
        "block_count": LAYERS, "context_length": 1024, "embedding_length": WIDTH, "feed_forward_length": HIDDEN,
        "attention.head_count": HEADS, "attention.head_count_kv": KV_HEADS, "attention.key_length": HEAD,
        "attention.value_length": HEAD, "attention.layer_norm_rms_epsilon": 1e-6, "rope.dimension_count": HEAD // 2,
        "ssm.conv_kernel": TAPS, "ssm.state_size": DIM, "ssm.group_count": KEYS, "ssm.time_step_rank": VALUES,
        "ssm.inner_size": VALUES * DIM,
    }  # fmt: skip
    return {"general.architecture": "qwen35", **{f"qwen35.{key}": value for key, value in sizes.items()}}


def _shapes() -> dict[str, tuple[int, ...]]:
    mixed = (2 * KEYS + VALUES) * DIM
    delta = {
        "attn_qkv.weight": (mixed, WIDTH), "attn_gate.weight": (VALUES * DIM, WIDTH),
        "ssm_alpha.weight": (VALUES, WIDTH), "ssm_beta.weight": (VALUES, WIDTH), "ssm_a": (VALUES,),
        "ssm_dt.bias": (VALUES,), "ssm_conv1d.weight": (mixed, TAPS), "ssm_norm.weight": (DIM,),
        "ssm_out.weight": (WIDTH, VALUES * DIM),
    }  # fmt: skip
    attention = {
        "attn_q.weight": (2 * HEADS * HEAD, WIDTH), "attn_k.weight": (KV_HEADS * HEAD, WIDTH),
        "attn_v.weight": (KV_HEADS * HEAD, WIDTH), "attn_output.weight": (WIDTH, HEADS * HEAD),
        "attn_q_norm.weight": (HEAD,), "attn_k_norm.weight": (HEAD,),
    }  # fmt: skip
    every = {
        "attn_norm.weight": (WIDTH,), "post_attention_norm.weight": (WIDTH,), "ffn_gate.weight": (HIDDEN, WIDTH),
        "ffn_up.weight": (HIDDEN, WIDTH), "ffn_down.weight": (WIDTH, HIDDEN),
    }  # fmt: skip
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (VOCAB, WIDTH), "output_norm.weight": (WIDTH,)}
    for layer in range(LAYERS):
        own = attention if layer == LAYERS - 1 else delta
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in {**every, **own}.items()}
    return shapes


def _values(random: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Scaled so that activations stay near one; norms near one, decays between -2 and 0."""
    values = random.normal(0, 1 if len(shape) == 1 else shape[-1] ** -0.5, shape).astype(np.float32)
    if name == "token_embd.weight":
        return 3 * values
    if name.endswith("norm.weight"):
        return 1 + 0.2 * values
    return -np.abs(values) if name.endswith("ssm_a") else values
