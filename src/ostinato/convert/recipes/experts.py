"""Mixtures of experts that are no relative of a dense family: GPT-OSS, Llama 4, GLM 4.5, MiniMax M2, HunYuan,
ERNIE 4.5, dots."""

from __future__ import annotations

from ostinato.convert.config import Config
from ostinato.convert.numbers import Array
from ostinato.convert.recipe import Facts, Key, Place, Recipe, Rule
from ostinato.convert.recipes.llama import MIXTRAL_EXPERTS
from ostinato.convert.shared import rope_parameters
from ostinato.convert.transforms import first_half, mxfp4, second_half, then, transposed
from ostinato.gguf.encode import Addable

_L, _B = "model.layers.{i}.", "blk.{i}."


def _even(place: Place, array: Array) -> Array:
    """Rows 0, 2, 4, ... of the second to last axis (of a bias [E, N]: of the last)."""
    return array[..., 0::2, :] if array.ndim == 3 else array[..., 0::2]


def _odd(place: Place, array: Array) -> Array:
    return array[..., 1::2, :] if array.ndim == 3 else array[..., 1::2]


def _even_mxfp4(place: Place, codes: Array, scales: Array) -> Array:
    """Even rows of one expert's packed matrix."""
    return mxfp4(place, codes[0::2], scales[0::2])


def _odd_mxfp4(place: Place, codes: Array, scales: Array) -> Array:
    return mxfp4(place, codes[1::2], scales[1::2])


def _flat(place: Place, array: Array) -> Array:
    return array.reshape(-1)


_GATE_UP = (_L + "mlp.experts.gate_up_proj_blocks", _L + "mlp.experts.gate_up_proj_scales")
_DOWN = (_L + "mlp.experts.down_proj_blocks", _L + "mlp.experts.down_proj_scales")
_GPT_OSS = (
    Rule(_GATE_UP, _B + "ffn_gate_exps.weight", _even_mxfp4, each=True),
    Rule(_GATE_UP, _B + "ffn_up_exps.weight", _odd_mxfp4, each=True),
    Rule(_DOWN, _B + "ffn_down_exps.weight", mxfp4, each=True),
    Rule(_L + "post_attention_layernorm.weight", _B + "post_attention_norm.weight"),
    Rule(_L + "mlp.router.{s}", _B + "ffn_gate_inp.{s}"),
    Rule(_L + "mlp.experts.gate_up_proj", _B + "ffn_gate_exps.weight", then(transposed, _even)),
    Rule(_L + "mlp.experts.gate_up_proj", _B + "ffn_up_exps.weight", then(transposed, _odd)),
    Rule(_L + "mlp.experts.down_proj", _B + "ffn_down_exps.weight", transposed),
    Rule(_L + "mlp.experts.gate_up_proj_bias", _B + "ffn_gate_exps.bias", _even),
    Rule(_L + "mlp.experts.gate_up_proj_bias", _B + "ffn_up_exps.bias", _odd),
    Rule(_L + "mlp.experts.down_proj_bias", _B + "ffn_down_exps.bias"),
)
_LLAMA4 = (  # its checkpoints rotate pairs already
    Rule(_L + "feed_forward.router.weight", _B + "ffn_gate_inp.weight"),
    Rule(_L + "feed_forward.experts.gate_up_proj", _B + "ffn_gate_exps.weight", then(transposed, first_half)),
    Rule(_L + "feed_forward.experts.gate_up_proj", _B + "ffn_up_exps.weight", then(transposed, second_half)),
    Rule(_L + "feed_forward.experts.down_proj", _B + "ffn_down_exps.weight", transposed),
    *(Rule(_L + f"feed_forward.shared_expert.{part}_proj.weight", _B + f"ffn_{part}_shexp.weight")
      for part in ("gate", "up", "down")),
    *(Rule(_L + f"feed_forward.{part}_proj.weight", _B + f"ffn_{part}.weight") for part in ("gate", "up", "down")),
)  # fmt: skip
_GLM4_MOE = (Rule(_L + "post_attention_layernorm.weight", _B + "post_attention_norm.weight"),)
_MINIMAX = (*MIXTRAL_EXPERTS, Rule(_L + "block_sparse_moe.e_score_correction_bias", _B + "exp_probs_b.bias"))
_HUNYUAN = (
    Rule(_L + "self_attn.query_layernorm.weight", _B + "attn_q_norm.weight"),
    Rule(_L + "self_attn.key_layernorm.weight", _B + "attn_k_norm.weight"),
    Rule(_L + "mlp.gate.wg.weight", _B + "ffn_gate_inp.weight"),
    *(Rule(_L + f"mlp.shared_mlp.{part}_proj.weight", _B + f"ffn_{part}_shexp.weight")
      for part in ("gate", "up", "down")),
)  # fmt: skip
_ERNIE = (Rule(_L + "mlp.moe_statics.e_score_correction_bias", _B + "exp_probs_b.bias", _flat),)


def _gpt_oss(config: Config) -> Facts:
    return {"expert_feed_forward_length": config.integer("intermediate_size")}


def _llama4(config: Config) -> Facts:
    """Experts are as wide as `intermediate_size`, dense layers have a size of their own."""
    return {
        "feed_forward_length": config.integer("intermediate_size_mlp"),
        "expert_feed_forward_length": config.integer("intermediate_size"),
        "interleave_moe_layer_step": config.integer("interleave_moe_layer_step", default=1),
        "attention.sliding_window": config.integer("attention_chunk_size", default=8192),
        "attention.sliding_window_pattern": [kind == "chunked_attention" for kind in config.items("layer_types")],
    }


def _hunyuan(config: Config) -> Facts:
    """Its `dynamic` scaling is a larger base ("NTK-aware", by alpha), whatever the length."""
    found: dict[str, Addable | None] = {}
    rope = rope_parameters(config)
    if "alpha" in rope:
        dims = config.head_dim
        found["rope.freq_base"] = rope.number("rope_theta") * rope.number("alpha") ** (dims / (dims - 2))
    return found


def _ernie(config: Config) -> Facts:
    shared = config.integer("moe_num_shared_experts", default=0)
    return {
        "interleave_moe_layer_step": config.integer("moe_layer_interval", default=1),
        "leading_dense_block_count": config.integer("moe_layer_start_index", default=1),
        "expert_shared_count": shared,
        "expert_shared_feed_forward_length": shared * config.integer("moe_intermediate_size", default=0) or None,
    }


def _sigmoid(config: Config) -> Facts:
    return {"expert_gating_func": 2}


RECIPES = (
    Recipe(("GptOssForCausalLM",), "gpt-oss", _GPT_OSS, facts=_gpt_oss),
    Recipe(("Llama4ForCausalLM", "Llama4ForConditionalGeneration"), "llama4", _LLAMA4, facts=_llama4),
    Recipe(
        ("HunYuanMoEV1ForCausalLM",), "hunyuan-moe", _HUNYUAN,
        (Key("expert_used_count", int, ("moe_topk",)),
         Key("expert_feed_forward_length", int, ("moe_intermediate_size", "intermediate_size")),
         Key("expert_shared_count", int, ("num_shared_expert",))),
        _hunyuan,
    ),
    Recipe(("HunYuanDenseV1ForCausalLM",), "hunyuan-dense", _HUNYUAN, facts=_hunyuan),
    Recipe(("Ernie4_5_MoeForCausalLM",), "ernie4_5-moe", _ERNIE, facts=_ernie),
    Recipe(("Dots1ForCausalLM",), "dots1", facts=_sigmoid),
    Recipe(("Glm4MoeForCausalLM",), "glm4moe", _GLM4_MOE, facts=_sigmoid),
    Recipe(
        ("MiniMaxM2ForCausalLM",), "minimax-m2", _MINIMAX,
        (Key("expert_feed_forward_length", int, ("intermediate_size",)),), _sigmoid,
    ),
)  # fmt: skip
