"""What most architectures share: names of tensors, and values of config.json."""

from __future__ import annotations

import math

import numpy as np

from ostinato.convert.config import Config
from ostinato.convert.errors import ConvertError
from ostinato.convert.recipe import Extras, Facts, Key, Rule
from ostinato.convert.transforms import first_half, second_half
from ostinato.gguf.encode import Addable
from ostinato.model.activation import ACTIVATION_KEY, ACTIVATIONS
from ostinato.model.pooling import PROJECTIONS

_L, _B = "model.layers.{i}.", "blk.{i}."

# Names as in gguf.constants.TENSOR_NAMES and transformers' modeling files.
RULES = (
    Rule("model.embed_tokens.weight", "token_embd.weight"),
    Rule("model.norm.{s}", "output_norm.{s}"),
    Rule("lm_head.{s}", "output.{s}"),
    *(Rule(f"{name}.weight", f"{name}.weight") for name in PROJECTIONS),  # as convert/pooling.py names them
    Rule(_L + "input_layernorm.{s}", _B + "attn_norm.{s}"),
    Rule(_L + "self_attn.q_proj.{s}", _B + "attn_q.{s}"),
    Rule(_L + "self_attn.k_proj.{s}", _B + "attn_k.{s}"),
    Rule(_L + "self_attn.v_proj.{s}", _B + "attn_v.{s}"),
    Rule(_L + "self_attn.qkv_proj.{s}", _B + "attn_qkv.{s}"),
    Rule(_L + "self_attn.o_proj.{s}", _B + "attn_output.{s}"),
    Rule(_L + "self_attn.q_norm.{s}", _B + "attn_q_norm.{s}"),
    Rule(_L + "self_attn.k_norm.{s}", _B + "attn_k_norm.{s}"),
    Rule(_L + "self_attn.sinks", _B + "attn_sinks.weight"),
    Rule(_L + "post_attention_layernorm.{s}", _B + "ffn_norm.{s}"),
    Rule(_L + "mlp.gate_proj.{s}", _B + "ffn_gate.{s}"),
    Rule(_L + "mlp.gate_up_proj.{s}", _B + "ffn_up.{s}"),
    Rule(_L + "mlp.up_proj.{s}", _B + "ffn_up.{s}"),
    Rule(_L + "mlp.down_proj.{s}", _B + "ffn_down.{s}"),
    Rule(_L + "mlp.gate.weight", _B + "ffn_gate_inp.weight"),
    Rule(_L + "mlp.gate.e_score_correction_bias", _B + "exp_probs_b.bias"),
    Rule(_L + "mlp.experts.{e}.gate_proj.weight", _B + "ffn_gate_exps.weight"),
    Rule(_L + "mlp.experts.{e}.up_proj.weight", _B + "ffn_up_exps.weight"),
    Rule(_L + "mlp.experts.{e}.down_proj.weight", _B + "ffn_down_exps.weight"),
    Rule(_L + "mlp.experts.gate_up_proj", _B + "ffn_gate_exps.weight", first_half),
    Rule(_L + "mlp.experts.gate_up_proj", _B + "ffn_up_exps.weight", second_half),
    Rule(_L + "mlp.experts.down_proj", _B + "ffn_down_exps.weight"),
    Rule(_L + "mlp.shared_expert.gate_proj.weight", _B + "ffn_gate_shexp.weight"),
    Rule(_L + "mlp.shared_expert.up_proj.weight", _B + "ffn_up_shexp.weight"),
    Rule(_L + "mlp.shared_expert.down_proj.weight", _B + "ffn_down_shexp.weight"),
    Rule(_L + "mlp.shared_expert_gate.weight", _B + "ffn_gate_inp_shexp.weight"),
    Rule(_L + "mlp.shared_experts.gate_proj.weight", _B + "ffn_gate_shexp.weight"),
    Rule(_L + "mlp.shared_experts.up_proj.weight", _B + "ffn_up_shexp.weight"),
    Rule(_L + "mlp.shared_experts.down_proj.weight", _B + "ffn_down_shexp.weight"),
    Rule(_L + "self_attn.rotary_emb.inv_freq", None),  # computed again from the configuration
)

PREFIXES = {
    "model.language_model.": "model.", "language_model.model.": "model.", "language_model.lm_head.": "lm_head.",
    "layers.": "model.layers.", "embed_tokens.": "model.embed_tokens.", "norm.": "model.norm.",  # a model without head
}  # fmt: skip

# Eyes and ears of a larger model, of which the text model is converted.
OTHER_MODALITIES = (
    "vision_tower.", "vision_model.", "visual.", "multi_modal_projector.", "audio_tower.", "embed_vision.",
    "embed_audio.", "connector.", "mtp.",
)  # fmt: skip

KEYS = (
    Key("context_length", int, ("max_position_embeddings", "n_positions", "n_ctx", "model_max_length")),
    Key("feed_forward_length", int, ("intermediate_size", "n_inner")),
    Key("vocab_size", int, ("vocab_size",)),
    Key("attention.layer_norm_rms_epsilon", float, ("rms_norm_eps",)),
    Key("attention.layer_norm_epsilon", float, ("layer_norm_eps", "layer_norm_epsilon", "norm_epsilon")),
    Key("attention.key_length", int, ("head_dim",)),
    Key("attention.value_length", int, ("head_dim",)),
    Key("expert_count", int, ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")),
    Key("expert_used_count", int, ("num_experts_per_tok", "num_experts_per_token", "top_k_experts", "moe_k")),
    Key("expert_feed_forward_length", int, ("moe_intermediate_size",)),
    Key("expert_shared_feed_forward_length", int, ("shared_expert_intermediate_size",)),
    Key("expert_group_count", int, ("n_group", "num_expert_group")),
    Key("expert_group_used_count", int, ("topk_group",)),
    Key("expert_shared_count", int, ("n_shared_experts",)),
    Key("expert_weights_scale", float, ("routed_scaling_factor",)),
    Key("expert_weights_norm", bool, ("norm_topk_prob",)),
    Key("leading_dense_block_count", int, ("first_k_dense_replace",)),
)

_OUTSIDE = {  # of `rope_scaling`
    "rope_theta": ("rope_theta", "rotary_emb_base"),
    "partial_rotary_factor": ("partial_rotary_factor", "rotary_pct", "rotary_emb_fraction"),
    "original_max_position_embeddings": ("original_max_position_embeddings",),
}
MAX_HEAD = 65536  # elements
_GATING = {"softmax": 1, "sigmoid": 2}  # gguf.ExpertGatingFuncType
_GATING_NAMES = ("scoring_func", "score_function", "score_func", "moe_router_activation_func")


def facts(config: Config) -> Facts:
    """Sizes, heads, ropes and gating, as most architectures have them."""
    found: dict[str, Addable | None] = {
        "block_count": config.layers,
        "embedding_length": config.width,
        "attention.head_count": config.heads,
        "attention.head_count_kv": config.kv_heads,
    }
    if any(name in config for name in _GATING_NAMES):
        function = config.text(*_GATING_NAMES)
        if function not in _GATING:
            raise ConvertError(f"scoring function {function!r:.40} is not known; known: {', '.join(_GATING)}")
        found["expert_gating_func"] = _GATING[function]
    return {**found, **window_facts(config), **rope_facts(config)}


def activation_facts(config: Config, default: str) -> Facts:
    """For architectures whose models differ in it; `default`: of a configuration that does not say."""
    names = ("hidden_act", "hidden_activation", "activation", "activation_function")
    act = config.text(*names, default=default)
    if act not in ACTIVATIONS:
        raise ConvertError(f"activation {act!r:.40} is not known; known: {', '.join(ACTIVATIONS)}")
    return {ACTIVATION_KEY: act}


def window_facts(config: Config) -> Facts:
    """The window, and which layers have it: all of them, unless `layer_types` says otherwise."""
    window = config.integer("sliding_window", default=0)
    if not window or not config.flag("use_sliding_window", default=True):
        return {}
    if "layer_types" in config:
        windowed = [kind == "sliding_attention" for kind in config.items("layer_types")[: config.layers]]
    elif "sliding_window_pattern" in config:
        period = max(config.integer("sliding_window_pattern"), 1)
        windowed = [bool((layer + 1) % period) for layer in range(config.layers)]
    else:
        return {"attention.sliding_window": window}
    if not any(windowed):
        return {}
    return {"attention.sliding_window": window, "attention.sliding_window_pattern": windowed}


def rope_parameters(config: Config, kind: str = "full_attention") -> Config:
    """How positions turn, from either form of config.json: `rope_parameters` (also one for each kind of layer), or
    `rope_theta` beside `rope_scaling`, also by older names."""
    found = config.within("rope_parameters") if "rope_parameters" in config else config.within("rope_scaling")
    if "full_attention" in found or "sliding_attention" in found:
        return found.within(kind)
    return found.with_defaults({name: config.get(*names) for name, names in _OUTSIDE.items()})


def rope_kind(rope: Config) -> str:
    """The kind of scaling: default, linear, llama3, yarn, longrope, dynamic."""
    kind = rope.text("rope_type", "type", default="default")
    return "longrope" if kind == "su" else kind


def rope_facts(config: Config) -> Facts:
    """Base, dimensions and scaling."""
    rope = rope_parameters(config)
    found: dict[str, Addable | None] = {"rope.dimension_count": rope_dims(config, rope)}
    if "rope_theta" in rope:
        found["rope.freq_base"] = rope.number("rope_theta")
    local = config.within("rope_parameters").within("sliding_attention")
    if "rope_theta" in local:
        found["rope.freq_base_swa"] = local.number("rope_theta")
    elif "rope_local_base_freq" in config:
        found["rope.freq_base_swa"] = config.number("rope_local_base_freq")
    if "mrope_section" in rope:
        found["rope.dimension_sections"] = [*rope.items("mrope_section"), 0, 0, 0, 0][:4]
    return {**found, **_scaling(rope, config)}


def rope_dims(config: Config, rope: Config) -> int:
    """Elements of a head that turn."""
    dims = int(config.head_dim * rope.number("partial_rotary_factor", default=1.0))
    if not 0 <= dims <= MAX_HEAD:
        raise ConvertError(f"{dims} elements of a head would turn; expected at most {MAX_HEAD}")
    return dims


def _scaling(rope: Config, config: Config) -> Facts:
    match rope_kind(rope):
        case "default" | "llama3" | "dynamic" | "mrope" | "proportional":  # llama3: factors, see `rope_factors`
            return {}
        case "linear":
            return {"rope.scaling.type": "linear", "rope.scaling.factor": rope.number("factor")}
        case "yarn":
            return _yarn(rope, config)
        case "longrope":
            return _longrope(rope, config)
        case other:
            raise ConvertError(f"rope scaling {other!r:.40} is not known; known: linear, llama3, yarn, longrope")


def _yarn(rope: Config, config: Config) -> Facts:
    original = rope.integer("original_max_position_embeddings", default=config.get("max_position_embeddings"))
    found: dict[str, Addable | None] = {
        "rope.scaling.type": "yarn",
        "rope.scaling.factor": rope.number("factor"),
        "rope.scaling.original_context_length": original,
    }
    for key, names in (
        ("rope.scaling.yarn_ext_factor", ("extrapolation_factor",)),
        ("rope.scaling.yarn_attn_factor", ("attention_factor", "attn_factor")),
        ("rope.scaling.yarn_beta_fast", ("beta_fast",)),
        ("rope.scaling.yarn_beta_slow", ("beta_slow",)),
    ):
        if any(name in rope for name in names):
            found[key] = rope.number(*names)
    return found


def _longrope(rope: Config, config: Config) -> Facts:
    """transformers' modeling_rope_utils._compute_longrope_parameters; the factors themselves are tensors."""
    original = rope.integer("original_max_position_embeddings")
    stretch = config.integer("max_position_embeddings") / max(original, 1)
    gain = math.sqrt(1 + math.log(stretch) / math.log(original)) if stretch > 1 and original > 1 else 1.0
    return {
        "rope.scaling.type": "longrope",
        "rope.scaling.original_context_length": original,
        "rope.scaling.attn_factor": rope.number("attention_factor", default=gain),
    }


def rope_factors(config: Config) -> Extras:
    """Divisors of the rotation of each dimension: those that llama3 scaling computes, or longrope lists."""
    rope = rope_parameters(config)
    dims = rope_dims(config, rope)
    if rope_kind(rope) == "llama3":
        return {"rope_freqs.weight": _llama3_factors(rope, dims)}
    if rope_kind(rope) == "longrope":
        return {
            f"rope_factors_{kind}.weight": np.array(rope.items(f"{kind}_factor", length=dims // 2), np.float32)
            for kind in ("long", "short")
        }
    return {}


def _llama3_factors(rope: Config, dims: int) -> np.ndarray:
    """transformers' modeling_rope_utils._compute_llama3_parameters: long waves are stretched by `factor`, short ones
    kept, those between mixed. Raises ConvertError or ArithmeticError for what makes no factors."""
    factor, low, high = (rope.number(name) for name in ("factor", "low_freq_factor", "high_freq_factor"))
    original = rope.integer("original_max_position_embeddings")
    base = rope.number("rope_theta", default=10000.0)
    if min(factor, base) <= 0:
        raise ConvertError(f"rope scaling llama3 by {factor:g} with a base of {base:g}: expected numbers above 0")
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        frequencies = 1.0 / base ** (np.arange(0, dims, 2, dtype=np.float32) / np.float32(dims))
        waves = 2 * math.pi / frequencies
        smooth = np.clip((original / waves - low) / (high - low), 0, 1)
        mixed = 1 / ((1 - smooth) / factor + smooth)
        factors = np.where(waves < original / high, 1.0, np.where(waves > original / low, factor, mixed))
        return factors.astype(np.float32)
