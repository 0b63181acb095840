"""GPT-2 and what came after it, with layer norms: StarCoder, GPT-NeoX (Pythia), Phi 2, StableLM, Nemotron."""

from __future__ import annotations

from ostinato.convert.config import Config
from ostinato.convert.errors import ConvertError
from ostinato.convert.numbers import Array
from ostinato.convert.recipe import Facts, Key, Place, Recipe, Rule
from ostinato.convert.shared import activation_facts
from ostinato.convert.transforms import plus_one, transposed

_B = "blk.{i}."


def _turned(source: str, target: str) -> tuple[Rule, ...]:
    """GPT-2 stores its matrices turned; StarCoder does not."""
    return Rule(f"{source}.weight", f"{target}.weight", transposed), Rule(f"{source}.bias", f"{target}.bias")


def _by_part(place: Place, array: Array) -> Array:
    """Rows of queries, keys and values of each head -> all queries, all keys, all values."""
    heads = place.config.heads
    return array.reshape(heads, 3, -1, *array.shape[1:]).swapaxes(0, 1).reshape(array.shape)


def _by_part_unless_shared(place: Place, array: Array) -> Array:
    """All heads may share one key and one value (multi-query attention): then the parts are apart already."""
    return array if place.config.flag("multi_query") else _by_part(place, array)


_H = "transformer.h.{i}."
_COMMON = (
    Rule("transformer.wte.weight", "token_embd.weight"),
    Rule("transformer.wpe.weight", "position_embd.weight"),
    Rule("transformer.ln_f.{s}", "output_norm.{s}"),
    Rule(_H + "ln_1.{s}", _B + "attn_norm.{s}"),
    Rule(_H + "ln_2.{s}", _B + "ffn_norm.{s}"),
    Rule(_H + "attn.bias", None),  # the causal mask of old checkpoints
    Rule(_H + "attn.masked_bias", None),
)
_QKV = (_H + "attn.c_attn", _B + "attn_qkv")
_MATRICES = (
    (_H + "attn.c_proj", _B + "attn_output"),
    (_H + "mlp.c_fc", _B + "ffn_up"),
    (_H + "mlp.c_proj", _B + "ffn_down"),
)
_GPT2 = (*_COMMON, *(rule for source, target in (_QKV, *_MATRICES) for rule in _turned(source, target)))
_STARCODER = (
    *_COMMON,
    Rule(f"{_QKV[0]}.{{s}}", f"{_QKV[1]}.{{s}}", _by_part_unless_shared),
    *(Rule(f"{source}.{{s}}", f"{target}.{{s}}") for source, target in _MATRICES),
)
_N = "gpt_neox.layers.{i}."
_NEOX = (
    Rule("gpt_neox.embed_in.weight", "token_embd.weight"),
    Rule("gpt_neox.final_layer_norm.{s}", "output_norm.{s}"),
    Rule("embed_out.weight", "output.weight"),
    Rule(_N + "input_layernorm.{s}", _B + "attn_norm.{s}"),
    Rule(_N + "post_attention_layernorm.{s}", _B + "ffn_norm.{s}"),
    Rule(_N + "attention.query_key_value.{s}", _B + "attn_qkv.{s}", _by_part),
    Rule(_N + "attention.dense.{s}", _B + "attn_output.{s}"),
    Rule(_N + "mlp.dense_h_to_4h.{s}", _B + "ffn_up.{s}"),
    Rule(_N + "mlp.dense_4h_to_h.{s}", _B + "ffn_down.{s}"),
    *(Rule(_N + f"attention.{name}", None) for name in ("bias", "masked_bias", "rotary_emb.inv_freq")),
)
_L = "model.layers.{i}."
_PHI2 = (
    Rule("model.final_layernorm.{s}", "output_norm.{s}"),
    Rule(_L + "self_attn.dense.{s}", _B + "attn_output.{s}"),
    Rule(_L + "mlp.fc1.{s}", _B + "ffn_up.{s}"),
    Rule(_L + "mlp.fc2.{s}", _B + "ffn_down.{s}"),
)
_NEMOTRON = (
    Rule("model.norm.weight", "output_norm.weight", plus_one),
    Rule(_L + "input_layernorm.weight", _B + "attn_norm.weight", plus_one),
    Rule(_L + "post_attention_layernorm.weight", _B + "ffn_norm.weight", plus_one),
)
_SCORES = {"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False}  # by the root of a head's size only


def _gpt2(config: Config) -> Facts:
    for name, usual in _SCORES.items():
        if config.flag(name, default=usual) is not usual:
            raise ConvertError(f"{name!r} is not {str(usual).lower()}: a GGUF file cannot say how scores are scaled")
    inner = config.integer("n_inner", default=4 * config.width)
    act = activation_facts(config, default="gelu_pytorch_tanh")
    return {"feed_forward_length": inner, "rope.dimension_count": None, **act}


def _starcoder(config: Config) -> Facts:
    return {**_gpt2(config), "attention.head_count_kv": 1 if config.flag("multi_query") else config.heads}


def _neox(config: Config) -> Facts:
    residual = {"use_parallel_residual": config.flag("use_parallel_residual", default=True)}
    return {**residual, **activation_facts(config, default="gelu")}


def _phi2(config: Config) -> Facts:
    return activation_facts(config, default="gelu_new")


def _stablelm(config: Config) -> Facts:
    residual = {"use_parallel_residual": config.flag("use_parallel_residual", default=False)}
    return {**residual, **activation_facts(config, default="silu")}


def _nemotron(config: Config) -> Facts:
    return activation_facts(config, default="relu2")


RECIPES = (
    Recipe(("GPT2LMHeadModel",), "gpt2", _GPT2, facts=_gpt2, defaults={"tie_word_embeddings": True}),
    Recipe(
        ("GPTBigCodeForCausalLM",), "starcoder", _STARCODER, facts=_starcoder,
        defaults={"tie_word_embeddings": True, "multi_query": True},
    ),
    Recipe(("GPTNeoXForCausalLM",), "gptneox", _NEOX, facts=_neox),
    Recipe(("PhiForCausalLM",), "phi2", _PHI2, facts=_phi2),
    Recipe(("StableLmForCausalLM",), "stablelm", facts=_stablelm),
    Recipe(
        ("NemotronForCausalLM",), "nemotron", _NEMOTRON,
        (Key("attention.layer_norm_epsilon", float, ("norm_eps",)),), _nemotron,
    ),
)  # fmt: skip
