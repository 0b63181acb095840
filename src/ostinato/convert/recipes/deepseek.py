"""DeepSeek V2 and V3: latent attention, whose second projection is stored in two halves, one of them turned, so that
the latent itself can be cached (llama.cpp's form for the absorbed product)."""

from __future__ import annotations

from ostinato.convert.config import Config
from ostinato.convert.numbers import Array
from ostinato.convert.recipe import Facts, Place, Recipe, Rule
from ostinato.convert.shared import rope_parameters
from ostinato.gguf.encode import Addable

_L, _B = "model.layers.{i}.", "blk.{i}."


def _per_head(place: Place, array: Array) -> Array:
    """[heads x (nope + value), rank] -> [heads, nope + value, rank]."""
    return array.reshape(place.config.heads, -1, array.shape[-1])


def _key_up(place: Place, array: Array) -> Array:
    """[heads, rank, nope]: turned, so that queries are multiplied with it."""
    return _per_head(place, array)[:, : place.config.integer("qk_nope_head_dim")].swapaxes(1, 2)


def _value_up(place: Place, array: Array) -> Array:
    """[heads, value, rank]."""
    return _per_head(place, array)[:, place.config.integer("qk_nope_head_dim") :]


LATENT = (
    Rule(_L + "self_attn.q_a_proj.{s}", _B + "attn_q_a.{s}"),
    Rule(_L + "self_attn.q_a_layernorm.weight", _B + "attn_q_a_norm.weight"),
    Rule(_L + "self_attn.q_b_proj.weight", _B + "attn_q_b.weight"),
    Rule(_L + "self_attn.kv_a_proj_with_mqa.{s}", _B + "attn_kv_a_mqa.{s}"),
    Rule(_L + "self_attn.kv_a_layernorm.weight", _B + "attn_kv_a_norm.weight"),
    Rule(_L + "self_attn.kv_b_proj.weight", _B + "attn_k_b.weight", _key_up),
    Rule(_L + "self_attn.kv_b_proj.weight", _B + "attn_v_b.weight", _value_up),
)


def latent_facts(config: Config) -> Facts:
    """Sizes as llama.cpp's converter writes them: one KV head over the latent, and `_mla` for what it stands for."""
    nope, turned, rank = (config.integer(n) for n in ("qk_nope_head_dim", "qk_rope_head_dim", "kv_lora_rank"))
    found: dict[str, Addable | None] = {
        "attention.head_count_kv": 1, "attention.kv_lora_rank": rank,
        "attention.key_length": rank + turned, "attention.value_length": rank,
        "attention.key_length_mla": nope + turned, "attention.value_length_mla": config.integer("v_head_dim"),
        "rope.dimension_count": turned,
    }  # fmt: skip
    if config.get("q_lora_rank") is not None:
        found["attention.q_lora_rank"] = config.integer("q_lora_rank")
    return {**found, **_yarn(config)}


def _v2(config: Config) -> Facts:
    """Groups of experts count only where the router looks at them."""
    if config.text("topk_method", default="greedy") == "group_limited_greedy":
        return latent_facts(config)
    return {**latent_facts(config), "expert_group_count": None, "expert_group_used_count": None}


def _yarn(config: Config) -> Facts:
    """0.1 x mscale_all_dim: the scores' scale makes up for the gain of YaRN."""
    rope = rope_parameters(config)
    if "mscale_all_dim" not in rope or not rope.number("mscale_all_dim"):
        return {}
    return {"rope.scaling.yarn_log_multiplier": 0.1 * rope.number("mscale_all_dim")}


def _v3(config: Config) -> Facts:
    return {**latent_facts(config), "expert_gating_func": 2}


RECIPES = (
    Recipe(("DeepseekV2ForCausalLM",), "deepseek2", LATENT, facts=_v2),
    Recipe(("DeepseekV3ForCausalLM",), "deepseek2", LATENT, facts=_v3),
)
