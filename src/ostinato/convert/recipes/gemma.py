"""Gemma: gains are stored as their distance from one, and a layer has up to four norms."""

from __future__ import annotations

from ostinato.convert.config import Config
from ostinato.convert.recipe import Facts, Key, Recipe, Rule
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


RECIPES = (
    Recipe(("GemmaForCausalLM",), "gemma", _TWO_NORMS, defaults=_TIED),
    Recipe(("Gemma2ForCausalLM",), "gemma2", FOUR_NORMS, _CAPS, _scale,
           defaults={**_TIED, "sliding_window": 4096, "sliding_window_pattern": 2}),
    Recipe(("Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"), "gemma3", FOUR_NORMS, _CAPS, _scale,
           defaults=GEMMA3),
)  # fmt: skip
