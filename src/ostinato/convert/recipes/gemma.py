"""Gemma: gains are stored as their distance from one, and a layer has up to four norms."""

from __future__ import annotations

import numpy as np

from ostinato.convert.config import Config
from ostinato.convert.recipe import Extras, Facts, Key, Recipe, Rule
from ostinato.convert.shared import rope_parameters
from ostinato.convert.transforms import plus_one

_L, _B = "model.layers.{i}.", "blk.{i}."

_NORMS = (
    Rule("model.norm.weight", "output_norm.weight", plus_one),
    Rule(_L + "input_layernorm.weight", _B + "attn_norm.weight", plus_one),
)
_TWO_NORMS = (*_NORMS, Rule(_L + "post_attention_layernorm.weight", _B + "ffn_norm.weight", plus_one))
FOUR_NORMS = (
    *_NORMS,
    Rule(_L + "post_attention_layernorm.weight", _B + "post_attention_norm.weight", plus_one),
    Rule(_L + "pre_feedforward_layernorm.weight", _B + "ffn_norm.weight", plus_one),
    Rule(_L + "post_feedforward_layernorm.weight", _B + "post_ffw_norm.weight", plus_one),
    Rule(_L + "self_attn.q_norm.weight", _B + "attn_q_norm.weight", plus_one),
    Rule(_L + "self_attn.k_norm.weight", _B + "attn_k_norm.weight", plus_one),
)
_CAPS = (
    Key("attn_logit_softcapping", float, ("attn_logit_softcapping",)),
    Key("final_logit_softcapping", float, ("final_logit_softcapping",)),
    Key("attention.key_length", int, ("head_dim",)),
)
_TIED = {"tie_word_embeddings": True, "rms_norm_eps": 1e-6, "head_dim": 256}
GEMMA3 = {  # transformers, Gemma3TextConfig: published files state little
    **_TIED, "vocab_size": 262208, "max_position_embeddings": 131072, "num_attention_heads": 8,
    "num_key_value_heads": 4, "query_pre_attn_scalar": 256, "sliding_window": 4096, "sliding_window_pattern": 6,
    "rope_theta": 1e6, "rope_local_base_freq": 1e4,
}  # fmt: skip


def _scale(config: Config) -> Facts:
    """Scores are scaled by a size of its own, which most models have equal to the heads'."""
    return {"attention.scale": config.number("query_pre_attn_scalar", default=256) ** -0.5}


_GEMMA4 = (
    Rule("model.embed_tokens_per_layer.weight", "per_layer_token_embd.weight"),
    Rule("model.per_layer_model_projection.weight", "per_layer_model_proj.weight"),
    Rule("model.per_layer_projection_norm.weight", "per_layer_proj_norm.weight"),
    Rule(_L + "per_layer_input_gate.weight", _B + "inp_gate.weight"),
    Rule(_L + "per_layer_projection.weight", _B + "proj.weight"),
    Rule(_L + "post_per_layer_input_norm.weight", _B + "post_norm.weight"),
    Rule(_L + "layer_scalar", _B + "layer_output_scale.weight"),
    Rule(_L + "post_attention_layernorm.weight", _B + "post_attention_norm.weight"),
    Rule(_L + "pre_feedforward_layernorm.weight", _B + "ffn_norm.weight"),
    Rule(_L + "post_feedforward_layernorm.weight", _B + "post_ffw_norm.weight"),
    Rule(_L + "post_feedforward_layernorm_1.weight", _B + "post_ffw_norm_1.weight"),
    Rule(_L + "pre_feedforward_layernorm_2.weight", _B + "pre_ffw_norm_2.weight"),
    Rule(_L + "post_feedforward_layernorm_2.weight", _B + "post_ffw_norm_2.weight"),
    Rule(_L + "router.proj.weight", _B + "ffn_gate_inp.weight"),
    Rule(_L + "router.scale", _B + "ffn_gate_inp.scale"),
    Rule(_L + "router.per_expert_scale", _B + "ffn_down_exps.scale"),
    Rule(_L + "experts.gate_up_proj", _B + "ffn_gate_up_exps.weight"),
    Rule(_L + "experts.down_proj", _B + "ffn_down_exps.weight"),
)


def _whole_layers(config: Config, name: str, older: str) -> int:
    """A size of the layers that see everything, which differs from that of the others."""
    found = config.within("per_layer_config")
    for layer in list(config.get("per_layer_config", default={}))[:1]:
        found = found.within(layer)
    return found.integer(name, default=config.integer(older, default=config.integer(name)))


def _gemma4(config: Config) -> Facts:
    windowed = [kind == "sliding_attention" for kind in config.items("layer_types")]
    shared = config.integer("num_kv_shared_layers", default=0)
    whole, local = _whole_layers(config, "head_dim", "global_head_dim"), config.integer("head_dim")
    heads = _whole_layers(config, "num_key_value_heads", "num_global_key_value_heads")
    inner = config.integer("intermediate_size")
    wide = 2 if config.flag("use_double_wide_mlp", default=False) else 1
    return {
        "attention.shared_kv_layers": shared,
        "embedding_length_per_layer_input": config.integer("hidden_size_per_layer_input", default=0),
        "attention.sliding_window_pattern": windowed,
        "attention.key_length": whole, "attention.value_length": whole,
        "attention.key_length_swa": local, "attention.value_length_swa": local,
        "attention.head_count_kv": [config.kv_heads if local_layer else heads for local_layer in windowed],
        "feed_forward_length": [inner * (wide if i >= config.layers - shared else 1) for i in range(config.layers)],
        "rope.dimension_count": whole, "rope.dimension_count_swa": local,
    }  # fmt: skip


def _turning(config: Config) -> Extras:
    """Of the layers that see everything only the first dimensions turn; the others are divided by infinity, nearly."""
    rope, dims = rope_parameters(config), _whole_layers(config, "head_dim", "global_head_dim")
    turning = int(dims * rope.number("partial_rotary_factor", default=0.25) / 2)
    return {"rope_freqs.weight": np.array([1.0] * turning + [1e30] * (dims // 2 - turning), np.float32)}


RECIPES = (
    Recipe(("GemmaForCausalLM",), "gemma", _TWO_NORMS, defaults=_TIED),
    Recipe(("Gemma2ForCausalLM",), "gemma2", FOUR_NORMS, _CAPS, _scale,
           defaults={**_TIED, "sliding_window": 4096, "sliding_window_pattern": 2}),
    Recipe(("Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"), "gemma3", FOUR_NORMS, _CAPS, _scale,
           defaults=GEMMA3),
    Recipe(("Gemma4ForCausalLM", "Gemma4ForConditionalGeneration"), "gemma4", _GEMMA4, _CAPS[1:2], _gemma4, _turning,
           defaults={"tie_word_embeddings": True}, uneven=True),
)  # fmt: skip
