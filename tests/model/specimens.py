"""Small valid models of every kind that a mapping knows, in memory, and what a step of one needs.

Every kind of layer and every optional tensor occurs in at least one of them; values are small random numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import numpy as np

from ostinato.gguf.types_table import TensorType
from ostinato.model.weights import StoredTensor
from tests.backends.cases import MemoryTensor

VOCAB, WIDTH, HIDDEN, LAYERS, CONTEXT = 40, 32, 64, 2, 64
HEADS, KV_HEADS, HEAD = 4, 2, 8
EXPERTS = 4

Shapes = dict[str, tuple[int, ...]]
Metadata = dict[str, Any]

ATTENTION: Shapes = {
    "attn_norm.weight": (WIDTH,), "attn_q.weight": (HEADS * HEAD, WIDTH), "attn_k.weight": (KV_HEADS * HEAD, WIDTH),
    "attn_v.weight": (KV_HEADS * HEAD, WIDTH), "attn_output.weight": (WIDTH, HEADS * HEAD),
}  # fmt: skip
DENSE: Shapes = {
    "ffn_norm.weight": (WIDTH,), "ffn_gate.weight": (HIDDEN, WIDTH), "ffn_up.weight": (HIDDEN, WIDTH),
    "ffn_down.weight": (WIDTH, HIDDEN),
}  # fmt: skip
STACKED: Shapes = {
    "ffn_norm.weight": (WIDTH,), "ffn_gate_inp.weight": (EXPERTS, WIDTH),
    "ffn_gate_exps.weight": (EXPERTS, HIDDEN, WIDTH), "ffn_up_exps.weight": (EXPERTS, HIDDEN, WIDTH),
    "ffn_down_exps.weight": (EXPERTS, WIDTH, HIDDEN),
}  # fmt: skip
SHARED: Shapes = {
    "exp_probs_b.bias": (EXPERTS,), "ffn_gate_shexp.weight": (HIDDEN, WIDTH), "ffn_up_shexp.weight": (HIDDEN, WIDTH),
    "ffn_down_shexp.weight": (WIDTH, HIDDEN), "ffn_gate_inp_shexp.weight": (WIDTH,),
}  # fmt: skip
FUSED: Shapes = {
    "attn_norm.weight": (WIDTH,), "attn_qkv.weight": ((HEADS + 2 * KV_HEADS) * HEAD, WIDTH),
    "attn_output.weight": (WIDTH, HEADS * HEAD), "ffn_norm.weight": (WIDTH,), "ffn_up.weight": (2 * HIDDEN, WIDTH),
    "ffn_down.weight": (WIDTH, HIDDEN),
}  # fmt: skip
BIASED: Shapes = {
    "attn_sinks.weight": (HEADS,), "attn_q.bias": (HEADS * HEAD,), "ffn_gate_inp.bias": (EXPERTS,),
    "ffn_gate_exps.bias": (EXPERTS, HIDDEN), "ffn_up_exps.bias": (EXPERTS, HIDDEN),
    "ffn_down_exps.bias": (EXPERTS, WIDTH),
}  # fmt: skip
GATED: Shapes = {  # queries beside their gates, norms of heads
    "attn_norm.weight": (WIDTH,), "attn_q.weight": (2 * HEADS * HEAD, WIDTH), "attn_k.weight": (KV_HEADS * HEAD, WIDTH),
    "attn_v.weight": (KV_HEADS * HEAD, WIDTH), "attn_output.weight": (WIDTH, HEADS * HEAD),
    "attn_q_norm.weight": (HEAD,), "attn_k_norm.weight": (KV_HEADS, HEAD),
}  # fmt: skip
AROUND: Shapes = {"post_attention_norm.weight": (WIDTH,), "post_ffw_norm.weight": (WIDTH,)}

RANK, NOPE, TURNED, VALUE = 16, 8, 4, 6
LATENT: Shapes = {
    "attn_norm.weight": (WIDTH,), "attn_q_a.weight": (24, WIDTH), "attn_q_a_norm.weight": (24,),
    "attn_q_b.weight": (HEADS * (NOPE + TURNED), 24), "attn_kv_a_mqa.weight": (RANK + TURNED, WIDTH),
    "attn_kv_a_norm.weight": (RANK,), "attn_output.weight": (WIDTH, HEADS * VALUE),
}  # fmt: skip
ABSORBED: Shapes = {"attn_k_b.weight": (HEADS, RANK, NOPE), "attn_v_b.weight": (HEADS, VALUE, RANK)}
NAIVE: Shapes = {"attn_kv_b.weight": (HEADS * (NOPE + VALUE), RANK)}

KEYS, VALUES, STATE, TAPS = 2, 4, 8, 4  # heads of a delta net, their elements, its convolution
MIXED = (2 * KEYS + VALUES) * STATE
DELTA: Shapes = {
    "attn_norm.weight": (WIDTH,), "attn_qkv.weight": (MIXED, WIDTH), "attn_gate.weight": (VALUES * STATE, WIDTH),
    "ssm_ba.weight": (2 * VALUES, WIDTH), "ssm_a": (VALUES,), "ssm_dt.bias": (VALUES,),
    "ssm_conv1d.weight": (MIXED, TAPS), "ssm_norm.weight": (STATE,), "ssm_out.weight": (WIDTH, VALUES * STATE),
}  # fmt: skip
KIMI: Shapes = {
    "attn_norm.weight": (WIDTH,), "ssm_f_a.weight": (HEAD, WIDTH), "ssm_f_b.weight": (HEADS * HEAD, HEAD),
    "ssm_g_a.weight": (HEAD, WIDTH), "ssm_g_b.weight": (HEADS * HEAD, HEAD), "ssm_beta.weight": (HEADS, WIDTH),
    "ssm_a": (1, 1, HEADS, 1), "ssm_dt.bias": (HEADS * HEAD,), "ssm_norm.weight": (HEAD,),
    "attn_output.weight": (WIDTH, HEADS * HEAD),
    **{f"attn_{part}.weight": (HEADS * HEAD, WIDTH) for part in "qkv"},
    **{f"ssm_conv1d_{part}.weight": (1, HEADS * HEAD, 1, TAPS) for part in "qkv"},
}  # fmt: skip
INNER = 64
SCANNED = INNER + 2 * KEYS * STATE
MAMBA: Shapes = {
    "attn_norm.weight": (WIDTH,), "ssm_in.weight": (INNER + SCANNED + VALUES, WIDTH),
    "ssm_conv1d.weight": (SCANNED, TAPS), "ssm_conv1d.bias": (SCANNED,), "ssm_dt.bias": (VALUES,),
    "ssm_a": (VALUES, 1), "ssm_d": (VALUES, 1),
    "ssm_norm.weight": (KEYS, INNER // KEYS), "ssm_out.weight": (WIDTH, INNER),
}  # fmt: skip
CONV: Shapes = {
    "attn_norm.weight": (WIDTH,), "shortconv.in_proj.weight": (3 * WIDTH, WIDTH), "shortconv.conv.weight": (WIDTH, 3),
    "shortconv.out_proj.weight": (WIDTH, WIDTH),
}  # fmt: skip
ENCODER: Shapes = {
    **ATTENTION, **DENSE, "attn_output_norm.weight": (WIDTH,), "attn_output_norm.bias": (WIDTH,),
    "layer_output_norm.weight": (WIDTH,),
}  # fmt: skip
del ENCODER["attn_norm.weight"], ENCODER["ffn_norm.weight"]

EXPERTS_KEYS: Metadata = {"expert_count": EXPERTS, "expert_used_count": 2}
SSM_KEYS: Metadata = {"ssm.state_size": STATE, "ssm.group_count": KEYS, "ssm.time_step_rank": VALUES}
LATENT_KEYS: Metadata = {
    "attention.kv_lora_rank": RANK, "attention.key_length": NOPE + TURNED, "attention.value_length": VALUE,
    "rope.dimension_count": TURNED,
}  # fmt: skip
YARN: Metadata = {
    "rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 16,
    "rope.scaling.yarn_log_multiplier": 0.1, "rope.freq_base": 10000.0,
}  # fmt: skip
LONG: Shapes = {"rope_factors_long.weight": (HEAD // 2,), "rope_factors_short.weight": (HEAD // 2,)}


@dataclass(frozen=True)
class Specimen:
    """What an open file has: metadata and tensors."""

    metadata: Mapping[str, Any]
    tensors: Mapping[str, StoredTensor]

    @property
    def architecture(self) -> str:
        return str(self.metadata["general.architecture"])

    def with_key(self, key: str, value: Any) -> Specimen:
        """Another one, with `value` under the full key; None removes it."""
        metadata = {**self.metadata, key: value}
        return Specimen({k: v for k, v in metadata.items() if v is not None}, self.tensors)

    def with_tensor(self, name: str, shape: tuple[int, ...] | None, kind: TensorType = TensorType.F32) -> Specimen:
        """Another one, with a tensor of that shape and type; None removes it."""
        tensors = {n: t for n, t in self.tensors.items() if n != name}
        return Specimen(self.metadata, tensors if shape is None else {**tensors, name: tensor(name, shape, kind)})

    def named(self, architecture: str) -> Specimen:
        """The same model under the name of another architecture."""
        old = self.architecture
        renamed = {
            f"{architecture}.{key.removeprefix(f'{old}.')}" if key.startswith(f"{old}.") else key: value
            for key, value in self.metadata.items()
        }
        return Specimen({**renamed, "general.architecture": architecture}, self.tensors)


@cache
def tensor(name: str, shape: tuple[int, ...], kind: TensorType = TensorType.F32) -> MemoryTensor:
    """Small random values where they are floats, zeros where they are blocks."""
    elements = prod(shape)
    if kind is not TensorType.F32:
        size = elements // kind.block_elements * kind.block_bytes
        return MemoryTensor(name, kind, shape, np.zeros(size, np.uint8))
    random = np.random.default_rng(len(name))
    return MemoryTensor(name, kind, shape, (0.1 * random.standard_normal(elements)).astype(np.float32).view(np.uint8))


def build(architecture: str, *layers: Shapes, top: Shapes | None = None, **more: Any) -> Specimen:
    """A model of these layers. `top`: tensors outside layers; `more`: metadata, `__` for a dot."""
    sizes: Metadata = {
        "block_count": len(layers), "context_length": CONTEXT, "embedding_length": WIDTH,
        "attention.head_count": HEADS, "attention.head_count_kv": KV_HEADS, "attention.layer_norm_rms_epsilon": 1e-5,
        **{key.replace("__", "."): value for key, value in more.items()},
    }  # fmt: skip
    shapes: Shapes = {"token_embd.weight": (VOCAB, WIDTH), "output_norm.weight": (WIDTH,), **(top or {})}
    for index, layer in enumerate(layers):
        shapes |= {f"blk.{index}.{name}": shape for name, shape in layer.items()}
    metadata = {f"{architecture}.{key}": value for key, value in sizes.items() if value is not None}
    tensors: dict[str, StoredTensor] = {name: tensor(name, shape) for name, shape in shapes.items()}
    return Specimen({"general.architecture": architecture, **metadata}, tensors)


def _single() -> Shapes:
    """Experts one by one."""
    parts = {"gate": (HIDDEN, WIDTH), "up": (HIDDEN, WIDTH), "down": (WIDTH, HIDDEN)}
    stored = {f"ffn_{part}.{e}.weight": shape for part, shape in parts.items() for e in range(EXPERTS)}
    return {"ffn_norm.weight": (WIDTH,), "ffn_gate_inp.weight": (EXPERTS, WIDTH), **stored}


def _fused_experts() -> Shapes:
    gate_up = {"ffn_gate_up_exps.weight": (EXPERTS, 2 * HIDDEN, WIDTH)}
    return {**{n: s for n, s in STACKED.items() if "_gate_exps" not in n and "_up_exps" not in n}, **gate_up}


SPECIMENS: Mapping[str, Callable[[], Specimen]] = {
    "dense": lambda: build(
        "llama", {**ATTENTION, **DENSE}, {**ATTENTION, **DENSE},
        top={"output.weight": (VOCAB, WIDTH), "rope_freqs.weight": (HEAD // 2,)}, rope__dimension_count=HEAD,
    ),
    "yarn": lambda: build("mistral3", {**ATTENTION, **DENSE}, attention__temperature_scale=0.1, **_dunder(YARN)),
    "fused": lambda: build("phi3", FUSED, top=LONG, rope__scaling__original_context_length=16),
    "windows": lambda: build(
        "gemma2", {**ATTENTION, **DENSE, **AROUND}, {**ATTENTION, **DENSE, **AROUND}, attention__sliding_window=8,
        attn_logit_softcapping=5.0, final_logit_softcapping=8.0,
    ),
    "chunks": lambda: build(
        "llama4", *(2 * [{**ATTENTION, **STACKED, **SHARED}]), attention__sliding_window=8, no_rope_layer_step=2,
        **EXPERTS_KEYS,
    ),
    "positions": lambda: build(
        "starcoder2", {**ATTENTION, **DENSE, "attn_q.bias": (HEADS * HEAD,)},
        top={"position_embd.weight": (CONTEXT, WIDTH), "output_norm.bias": (WIDTH,)},
        attention__layer_norm_rms_epsilon=None, attention__layer_norm_epsilon=1e-5,
    ),
    "single experts": lambda: build("llama", {**ATTENTION, **_single()}, **EXPERTS_KEYS),
    "groups": lambda: build(
        "dots1", {**ATTENTION, **STACKED, **SHARED}, expert_group_count=2, expert_group_used_count=1,
        expert_gating_func=2, expert_weights_scale=1.5, **EXPERTS_KEYS,
    ),
    "fused experts": lambda: build("qwen3moe", {**ATTENTION, **_fused_experts()}, **EXPERTS_KEYS),
    "biases": lambda: build(
        "gpt-oss", {**ATTENTION, **STACKED, **BIASED}, {**ATTENTION, **STACKED, **BIASED}, attention__sliding_window=8,
        **EXPERTS_KEYS,
    ),
    "absorbed": lambda: build("deepseek2", {**LATENT, **ABSORBED, **DENSE}, **_dunder(LATENT_KEYS)),
    "naive": lambda: build("deepseek2", {**LATENT, **NAIVE, **DENSE}, **_dunder({**YARN, **LATENT_KEYS})),
    "delta": lambda: build(
        "qwen3next", {**DELTA, **DENSE}, {**GATED, **DENSE}, ssm__inner_size=VALUES * STATE, **_dunder(SSM_KEYS)
    ),
    "kimi": lambda: build("kimi-linear", {**KIMI, **DENSE}, kda__head_dim=HEAD),
    "mamba": lambda: build(
        "nemotron_h", MAMBA, ATTENTION, {n: s for n, s in DENSE.items() if "gate" not in n}, ssm__inner_size=INNER,
        **_dunder(SSM_KEYS),
    ),
    "short convolution": lambda: build("lfm2", {**CONV, **DENSE}, {**ATTENTION, **DENSE}),
    "encoder": lambda: build(
        "bert", ENCODER, top={
            "token_types.weight": (2, WIDTH), "position_embd.weight": (CONTEXT, WIDTH),
            "token_embd_norm.weight": (WIDTH,),
        }, pooling_type=1, attention__causal=False, attention__layer_norm_epsilon=1e-5,
        attention__layer_norm_rms_epsilon=None,
    ),
}  # fmt: skip


def _dunder(metadata: Metadata) -> Metadata:
    return {key.replace(".", "__"): value for key, value in metadata.items()}
