"""Architectures that differ from the shared names in a line or two."""

from __future__ import annotations

from ostinato.convert.config import Config
from ostinato.convert.recipe import Facts, Key, Recipe, Rule
from ostinato.convert.recipes.llama import PERMUTED

_L, _B = "model.layers.{i}.", "blk.{i}."

_STARCODER2 = (
    Rule(_L + "mlp.c_fc.{s}", _B + "ffn_up.{s}"),
    Rule(_L + "mlp.c_proj.{s}", _B + "ffn_down.{s}"),
)
GLM4_NORMS = (
    Rule(_L + "post_self_attn_layernorm.weight", _B + "post_attention_norm.weight"),
    Rule(_L + "post_mlp_layernorm.weight", _B + "post_ffw_norm.weight"),
)
_LOGIT_SCALE = (Key("logit_scale", float, ("logit_scale",)),)
_SEED = (Rule(_L + "post_attention_layernorm.weight", _B + "post_attention_norm.weight"),)
_POST_NORMS = (
    Rule(_L + "post_attention_layernorm.weight", _B + "post_attention_norm.weight"),
    Rule(_L + "post_feedforward_layernorm.weight", _B + "post_ffw_norm.weight"),
)


def _unrotated(config: Config) -> Facts:
    """Every n-th layer has no positions."""
    return {"no_rope_layer_step": config.integer("no_rope_layer_interval", default=4)}


def _stated_window(config: Config) -> Facts:
    """llama.cpp takes a window for granted in files that do not say 0."""
    return {"attention.sliding_window": config.integer("sliding_window", default=0)}


RECIPES = (
    Recipe(("Phi3ForCausalLM",), "phi3", facts=_stated_window),
    Recipe(("OlmoeForCausalLM",), "olmoe"),
    Recipe(("SmolLM3ForCausalLM",), "smollm3", PERMUTED, facts=_unrotated, defaults={"use_sliding_window": False}),
    Recipe(("Starcoder2ForCausalLM",), "starcoder2", _STARCODER2),
    Recipe(("Glm4ForCausalLM",), "glm4", GLM4_NORMS, defaults={"partial_rotary_factor": 0.5}),
    Recipe(("Olmo2ForCausalLM", "Olmo3ForCausalLM"), "olmo2", _POST_NORMS),
    Recipe(("Exaone4ForCausalLM",), "exaone4", _POST_NORMS),
    Recipe(("SeedOssForCausalLM",), "seed_oss", _SEED),
    Recipe(("Ernie4_5ForCausalLM", "Ernie4_5_ForCausalLM"), "ernie4_5"),
    Recipe(("ArceeForCausalLM",), "arcee", PERMUTED),
    Recipe(("CohereForCausalLM",), "command-r", keys=_LOGIT_SCALE, defaults={"tie_word_embeddings": True}),
    Recipe(("Cohere2ForCausalLM",), "cohere2", keys=_LOGIT_SCALE, defaults={"tie_word_embeddings": True}),
)
