"""Models with recurrent layers: Qwen3-Next and 3.5, Granite 4, Nemotron-H, LFM2, Kimi Linear."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ostinato.convert.config import Config
from ostinato.convert.numbers import Array
from ostinato.convert.recipe import Facts, Key, Place, Recipe, Rule
from ostinato.convert.recipes.deepseek import LATENT, latent_facts
from ostinato.convert.recipes.granite import EXPERTS, MULTIPLIERS
from ostinato.convert.recipes.llama import MIXTRAL_EXPERTS, PERMUTED
from ostinato.convert.shared import KEYS
from ostinato.convert.transforms import column, negative_exp, plus_one, squeezed, then
from ostinato.gguf.encode import Addable

_L, _B = "model.layers.{i}.", "blk.{i}."
_PARTS = ("gate", "up", "down")


def _spread(place: Place, array: Array) -> Array:
    """A depthwise convolution [C, 1, K] -> [1, C, 1, K]."""
    return array.reshape(1, array.shape[0], 1, array.shape[-1])


# ------------------------------------------------------------------------------------------ gated delta nets


def _by_key_head(place: Place, array: Array) -> Array:
    """Rows of queries, keys, values and gates as they lie for each key head: [heads, 2 x key + 2 x values, width]."""
    return array.reshape(place.config.integer("linear_num_key_heads"), -1, array.shape[-1])


def _queries_keys_values(place: Place, array: Array) -> Array:
    """All queries, then all keys, then all values."""
    rows, dim = _by_key_head(place, array), place.config.integer("linear_key_head_dim")
    values = (rows.shape[1] - 2 * dim) // 2
    parts = (rows[:, :dim], rows[:, dim : 2 * dim], rows[:, 2 * dim : 2 * dim + values])
    return np.concatenate([part.reshape(-1, array.shape[-1]) for part in parts])


def _gates(place: Place, array: Array) -> Array:
    rows, dim = _by_key_head(place, array), place.config.integer("linear_key_head_dim")
    return rows[:, dim + (rows.shape[1] // 2) :].reshape(-1, array.shape[-1])


def _tiled(place: Place, array: Array, axis: int = 0) -> Array:
    """Value heads from grouped by key head to tiled: head j of group g goes from g x r + j to j x groups + g."""
    heads, groups = (place.config.integer(f"linear_num_{kind}_heads") for kind in ("value", "key"))
    before, size = array.shape[:axis], array.shape[axis]
    parts = array.reshape(*before, groups, heads // groups, size // heads, *array.shape[axis + 1 :])
    return parts.swapaxes(axis, axis + 1).reshape(array.shape)


def _tiled_columns(place: Place, array: Array) -> Array:
    return _tiled(place, array, axis=1)


def _tiled_values(place: Place, array: Array) -> Array:
    """Queries and keys as they are, values tiled."""
    first = 2 * place.config.integer("linear_num_key_heads") * place.config.integer("linear_key_head_dim")
    return np.concatenate([array[:first], _tiled(place, array[first:])])


_NORMS = (
    Rule("model.norm.weight", "output_norm.weight", plus_one),
    Rule(_L + "input_layernorm.weight", _B + "attn_norm.weight", plus_one),
    Rule(_L + "post_attention_layernorm.weight", _B + "post_attention_norm.weight", plus_one),
    Rule(_L + "self_attn.q_norm.weight", _B + "attn_q_norm.weight", plus_one),
    Rule(_L + "self_attn.k_norm.weight", _B + "attn_k_norm.weight", plus_one),
    Rule(_L + "linear_attn.norm.weight", _B + "ssm_norm.weight"),
)
_NEXT = (
    *_NORMS,
    Rule(_L + "linear_attn.in_proj_qkvz.weight", _B + "attn_qkv.weight", _queries_keys_values),
    Rule(_L + "linear_attn.in_proj_qkvz.weight", _B + "attn_gate.weight", _gates),
    Rule(_L + "linear_attn.in_proj_ba.weight", _B + "ssm_ba.weight"),
    Rule(_L + "linear_attn.conv1d.weight", _B + "ssm_conv1d.weight", squeezed),
    Rule(_L + "linear_attn.A_log", _B + "ssm_a", negative_exp),
    Rule(_L + "linear_attn.dt_bias", _B + "ssm_dt.bias"),
    Rule(_L + "linear_attn.out_proj.weight", _B + "ssm_out.weight"),
)
_QWEN35 = (
    *_NORMS,
    Rule(_L + "linear_attn.in_proj_qkv.weight", _B + "attn_qkv.weight", _tiled_values),
    Rule(_L + "linear_attn.in_proj_z.weight", _B + "attn_gate.weight", _tiled),
    Rule(_L + "linear_attn.in_proj_a.weight", _B + "ssm_alpha.weight", _tiled),
    Rule(_L + "linear_attn.in_proj_b.weight", _B + "ssm_beta.weight", _tiled),
    Rule(_L + "linear_attn.conv1d.weight", _B + "ssm_conv1d.weight", then(squeezed, _tiled_values)),
    Rule(_L + "linear_attn.A_log", _B + "ssm_a", then(negative_exp, _tiled)),
    Rule(_L + "linear_attn.dt_bias", _B + "ssm_dt.bias", _tiled),
    Rule(_L + "linear_attn.out_proj.weight", _B + "ssm_out.weight", _tiled_columns),
)


def _delta_facts(config: Config) -> Facts:
    values = config.integer("linear_num_value_heads")
    return {
        "ssm.conv_kernel": config.integer("linear_conv_kernel_dim", default=4),
        "ssm.state_size": config.integer("linear_key_head_dim"),
        "ssm.group_count": config.integer("linear_num_key_heads"),
        "ssm.time_step_rank": values,
        "ssm.inner_size": values * config.integer("linear_value_head_dim"),
        "full_attention_interval": config.integer("full_attention_interval", default=4),
    }


# --------------------------------------------------------------------------------------------------- Mamba 2


def _groups(place: Place, array: Array) -> Array:
    """A gain [inner] -> [groups, inner / groups]."""
    return array.reshape(place.config.integer("mamba_n_groups", "n_groups"), -1)


def _mamba(source: str) -> tuple[Rule, ...]:
    return (
        Rule(source + "in_proj.{s}", _B + "ssm_in.{s}"),
        Rule(source + "conv1d.weight", _B + "ssm_conv1d.weight", squeezed),
        Rule(source + "conv1d.bias", _B + "ssm_conv1d.bias"),
        Rule(source + "A_log", _B + "ssm_a", then(negative_exp, column)),
        Rule(source + "D", _B + "ssm_d", column),
        Rule(source + "dt_bias", _B + "ssm_dt.bias"),
        Rule(source + "norm.weight", _B + "ssm_norm.weight", _groups),
        Rule(source + "out_proj.{s}", _B + "ssm_out.{s}"),
    )


def _mamba_facts(config: Config) -> Facts:
    heads = config.integer("mamba_n_heads", "mamba_num_heads")
    return {
        "ssm.conv_kernel": config.integer("mamba_d_conv", "conv_kernel", default=4),
        "ssm.state_size": config.integer("mamba_d_state", "ssm_state_size"),
        "ssm.group_count": config.integer("mamba_n_groups", "n_groups"),
        "ssm.time_step_rank": heads,
        "ssm.inner_size": heads * config.integer("mamba_d_head", "mamba_head_dim"),
    }


def _attention_heads(config: Config, kinds: Sequence[object]) -> list[int]:
    """KV heads of each layer: none where it has no attention. Each release of a configuration has its own words."""
    return [config.kv_heads if kind in ("attention", "full_attention", "*") else 0 for kind in kinds]


def _granite(config: Config) -> Facts:
    """KV heads of layers with attention only; positions turn where the configuration says `rope`."""
    return {
        **_mamba_facts(config),
        "attention.head_count_kv": _attention_heads(config, config.items("layer_types")),
        "rope.scaling.finetuned": config.get("position_embedding_type") == "rope",
    }


_M = "backbone.layers.{i}.mixer."
_NEMOTRON = (
    Rule("backbone.embeddings.weight", "token_embd.weight"),
    Rule("backbone.norm_f.weight", "output_norm.weight"),
    Rule("backbone.layers.{i}.norm.weight", _B + "attn_norm.weight"),
    *_mamba(_M),
    *(Rule(_M + f"{part}_proj.{{s}}", _B + f"attn_{name}.{{s}}")
      for part, name in (("q", "q"), ("k", "k"), ("v", "v"), ("o", "output"))),
    *(Rule(_M + f"{part}_proj.{{s}}", _B + f"ffn_{part}.{{s}}") for part in ("up", "down")),
    Rule(_M + "gate.weight", _B + "ffn_gate_inp.weight"),
    Rule(_M + "gate.e_score_correction_bias", _B + "exp_probs_b.bias"),
    *(Rule(_M + f"experts.{{e}}.{part}_proj.weight", _B + f"ffn_{part}_exps.weight") for part in ("up", "down")),
    *(Rule(_M + f"shared_experts.{part}_proj.weight", _B + f"ffn_{part}_shexp.weight") for part in ("up", "down")),
)  # fmt: skip

_OF_EXPERTS = tuple(key.key for key in KEYS if key.key.startswith("expert_"))  # configured for dense models too


def _nemotron(config: Config) -> Facts:
    pattern = config.get("hybrid_override_pattern")  # one letter a layer, where older files do not list them
    kinds = list(pattern) if isinstance(pattern, str) else config.items("layers_block_type")
    inner = config.integer("intermediate_size")
    return {
        **_mamba_facts(config),
        "attention.head_count_kv": _attention_heads(config, kinds),
        "attention.layer_norm_epsilon": config.number("layer_norm_epsilon", default=1e-5),  # of RMS norms
        "feed_forward_length": [inner if kind in ("-", "mlp", "E", "moe") else 0 for kind in kinds],
        **({} if {"E", "moe"} & set(kinds) else dict.fromkeys(_OF_EXPERTS)),
    }


# ---------------------------------------------------------------------------------------- short convolutions

_F = _L + "feed_forward."
_LFM2 = (
    Rule("model.embedding_norm.weight", "token_embd_norm.weight"),
    Rule(_L + "operator_norm.weight", _B + "attn_norm.weight"),
    Rule(_L + "ffn_norm.weight", _B + "ffn_norm.weight"),
    Rule(_L + "conv.conv.weight", _B + "shortconv.conv.weight", squeezed),
    Rule(_L + "conv.in_proj.{s}", _B + "shortconv.in_proj.{s}"),
    Rule(_L + "conv.out_proj.{s}", _B + "shortconv.out_proj.{s}"),
    Rule(_L + "self_attn.q_layernorm.weight", _B + "attn_q_norm.weight"),
    Rule(_L + "self_attn.k_layernorm.weight", _B + "attn_k_norm.weight"),
    Rule(_L + "self_attn.out_proj.weight", _B + "attn_output.weight"),
    Rule(_F + "gate.weight", _B + "ffn_gate_inp.weight"),
    Rule(_F + "expert_bias", _B + "exp_probs_b.bias"),
    *(Rule(_F + f"{name}.weight", _B + f"ffn_{part}.weight")
      for name, part in zip(("w1", "w3", "w2"), _PARTS, strict=True)),
    *(Rule(_F + f"experts.{{e}}.{name}.weight", _B + f"ffn_{part}_exps.weight")
      for name, part in zip(("w1", "w3", "w2"), _PARTS, strict=True)),
)  # fmt: skip


def _lfm2(config: Config) -> Facts:
    found: dict[str, Addable | None] = {
        "attention.head_count_kv": _attention_heads(config, config.items("layer_types")),
        "attention.layer_norm_rms_epsilon": config.number("norm_eps", "rms_norm_eps", default=1e-5),
        "attention.layer_norm_epsilon": None,
        "shortconv.l_cache": config.integer("conv_L_cache", default=3),
    }
    if "num_experts" in config:
        found |= {"expert_gating_func": 2, "leading_dense_block_count": config.integer("num_dense_layers", default=0)}
    return found


# ------------------------------------------------------------------------------------------------ Kimi Linear

_KIMI = (
    *LATENT,
    *MIXTRAL_EXPERTS,
    *(Rule(_L + f"self_attn.{x}_conv1d.weight", _B + f"ssm_conv1d_{x}.weight", _spread) for x in "qkv"),
    *(Rule(_L + f"self_attn.{x}_{y}_proj.weight", _B + f"ssm_{x}_{y}.weight") for x in "fg" for y in "ab"),
    Rule(_L + "self_attn.b_proj.weight", _B + "ssm_beta.weight"),
    Rule(_L + "self_attn.A_log", _B + "ssm_a", then(negative_exp, column)),
    Rule(_L + "self_attn.dt_bias", _B + "ssm_dt.bias"),
    Rule(_L + "self_attn.o_norm.weight", _B + "ssm_norm.weight"),
    Rule(_L + "block_sparse_moe.gate.e_score_correction_bias", _B + "exp_probs_b.bias"),
    *(Rule(_L + f"block_sparse_moe.shared_experts.{part}_proj.weight", _B + f"ffn_{part}_shexp.weight")
      for part in _PARTS),
    *(Rule(_L + f"block_sparse_moe.{part}_proj.weight", _B + f"ffn_{part}.weight") for part in _PARTS),
)  # fmt: skip


def _kimi(config: Config) -> Facts:
    linear = config.within("linear_attn_config")
    whole = set(linear.items("full_attn_layers"))  # counted from 1
    return {
        **latent_facts(config),
        "attention.head_count_kv": [int(layer + 1 in whole) for layer in range(config.layers)],
        "ssm.conv_kernel": linear.integer("short_conv_kernel_size", default=4),
        "kda.head_dim": linear.integer("head_dim"),
        "expert_shared_count": config.integer("num_shared_experts", default=1),
        "expert_gating_func": 2,
    }


RECIPES = (
    Recipe(("Qwen3NextForCausalLM",), "qwen3next", _NEXT, facts=_delta_facts),
    Recipe(("Qwen3_5ForCausalLM", "Qwen3_5ForConditionalGeneration"), "qwen35", _QWEN35, facts=_delta_facts),
    Recipe(("Qwen3_5MoeForCausalLM", "Qwen3_5MoeForConditionalGeneration"), "qwen35moe", _QWEN35,
           facts=_delta_facts),
    Recipe(("GraniteMoeHybridForCausalLM",), "granitehybrid", PERMUTED + EXPERTS + _mamba(_L + "mamba."),
           (*MULTIPLIERS, Key("expert_shared_feed_forward_length", int, ("shared_intermediate_size",))), _granite),
    Recipe(("NemotronHForCausalLM",), "nemotron_h", _NEMOTRON, facts=_nemotron),
    Recipe(("Lfm2ForCausalLM",), "lfm2", _LFM2, facts=_lfm2),
    Recipe(("Lfm2MoeForCausalLM",), "lfm2moe", _LFM2, facts=_lfm2),
    Recipe(("KimiLinearForCausalLM",), "kimi-linear", _KIMI, facts=_kimi),
)  # fmt: skip
