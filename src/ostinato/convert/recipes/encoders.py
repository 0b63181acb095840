"""Encoders that make embeddings: BERT and RoBERTa, DistilBERT, Nomic, Jina v3, ModernBERT, EuroBERT, EmbeddingGemma.

Pooling is no part of them: sentence-transformers keeps it in a file of its own (convert/pooling.py). Heads for
masked words are left out.
"""

from __future__ import annotations

from ostinato.convert.config import Config
from ostinato.convert.numbers import Array
from ostinato.convert.recipe import Facts, Key, Place, Recipe, Rule
from ostinato.convert.recipes.gemma import FOUR_NORMS, GEMMA3
from ostinato.convert.shared import activation_facts
from ostinato.gguf.encode import Addable

_B = "blk.{i}."
_PREFIXES = {"bert.": "", "roberta.": "", "distilbert.": ""}


def _norm(source: str, target: str) -> tuple[Rule, ...]:
    """Under its newer names, and those of old checkpoints."""
    older = (Rule(f"{source}.gamma", f"{target}.weight"), Rule(f"{source}.beta", f"{target}.bias"))
    return (Rule(f"{source}.{{s}}", f"{target}.{{s}}"), *older)


def _unpadded(place: Place, array: Array) -> Array:
    """RoBERTa counts positions from behind the padding token's id."""
    return array[_padding(place.config) :]


def _padding(config: Config) -> int:
    return 1 + config.integer("pad_token_id", default=1)


_HEADS = tuple(
    Rule(name, None)
    for name in (
        "embeddings.position_ids", "pooler.dense.{s}", "cls.predictions.bias", "cls.predictions.decoder.{s}",
        "cls.predictions.transform.dense.{s}", "cls.predictions.transform.LayerNorm.{s}", "cls.seq_relationship.{s}",
        "lm_head.bias", "lm_head.dense.{s}", "lm_head.layer_norm.{s}", "lm_head.decoder.{s}",
    )
)  # fmt: skip
_EMBEDDINGS = (
    *_HEADS,
    Rule("embeddings.word_embeddings.weight", "token_embd.weight"),
    Rule("embeddings.token_type_embeddings.weight", "token_types.weight"),
    *_norm("embeddings.LayerNorm", "token_embd_norm"),
    *_norm("emb_ln", "token_embd_norm"),
)
_POSITIONS = Rule("embeddings.position_embeddings.weight", "position_embd.weight")
_L = "encoder.layer.{i}."
_BERT = (
    *_EMBEDDINGS,
    Rule(_L + "attention.self.query.{s}", _B + "attn_q.{s}"),
    Rule(_L + "attention.self.key.{s}", _B + "attn_k.{s}"),
    Rule(_L + "attention.self.value.{s}", _B + "attn_v.{s}"),
    Rule(_L + "attention.output.dense.{s}", _B + "attn_output.{s}"),
    *_norm(_L + "attention.output.LayerNorm", _B + "attn_output_norm"),
    Rule(_L + "intermediate.dense.{s}", _B + "ffn_up.{s}"),
    Rule(_L + "output.dense.{s}", _B + "ffn_down.{s}"),
    *_norm(_L + "output.LayerNorm", _B + "layer_output_norm"),
)
_D = "transformer.layer.{i}."
_DISTIL = (
    *_EMBEDDINGS,
    _POSITIONS,
    *(Rule(_D + f"attention.{part}_lin.{{s}}", _B + f"attn_{part}.{{s}}") for part in "qkv"),
    Rule(_D + "attention.out_lin.{s}", _B + "attn_output.{s}"),
    *_norm(_D + "sa_layer_norm", _B + "attn_output_norm"),
    Rule(_D + "ffn.lin1.{s}", _B + "ffn_up.{s}"),
    Rule(_D + "ffn.lin2.{s}", _B + "ffn_down.{s}"),
    *_norm(_D + "output_layer_norm", _B + "layer_output_norm"),
    *(Rule(f"vocab_{part}.{{s}}", None) for part in ("transform", "layer_norm", "projector")),
)
_N = "encoder.layers.{i}."
_ROTATED = (
    *_EMBEDDINGS,
    *(Rule(_N + f"{mixer}.{{s}}", _B + "attn_qkv.{s}") for mixer in ("attn.Wqkv", "mixer.Wqkv")),
    *(Rule(_N + f"{mixer}.{{s}}", _B + "attn_output.{s}") for mixer in ("attn.out_proj", "mixer.out_proj")),
    Rule(_N + "norm1.{s}", _B + "attn_output_norm.{s}"),
    Rule(_N + "norm2.{s}", _B + "layer_output_norm.{s}"),
    Rule(_N + "mlp.fc11.weight", _B + "ffn_up.weight"),
    Rule(_N + "mlp.fc12.weight", _B + "ffn_gate.weight"),
    Rule(_N + "mlp.fc1.{s}", _B + "ffn_up.{s}"),
    Rule(_N + "mlp.fc2.{s}", _B + "ffn_down.{s}"),
)
_M = "layers.{i}."
_MODERN = (
    Rule("embeddings.tok_embeddings.weight", "token_embd.weight"),
    Rule("embeddings.norm.weight", "token_embd_norm.weight"),
    Rule("final_norm.weight", "output_norm.weight"),
    Rule(_M + "attn_norm.weight", _B + "attn_norm.weight"),
    Rule(_M + "attn.Wqkv.weight", _B + "attn_qkv.weight"),
    Rule(_M + "attn.Wo.weight", _B + "attn_output.weight"),
    Rule(_M + "mlp_norm.weight", _B + "ffn_norm.weight"),
    Rule(_M + "mlp.Wi.weight", _B + "ffn_up.weight"),
    Rule(_M + "mlp.Wo.weight", _B + "ffn_down.weight"),
    Rule("head.dense.weight", None),
    Rule("head.norm.weight", None),
    Rule("decoder.{s}", None),
)


def _facts(config: Config) -> Facts:
    """What all encoders say."""
    return {
        "attention.causal": False,
        **activation_facts(config, default="gelu"),
        "tokenizer.ggml.token_type_count": config.integer("type_vocab_size", default=1),
    }


def _bert(config: Config) -> Facts:
    return {**_facts(config), "rope.dimension_count": None}


def _roberta(config: Config) -> Facts:
    return {**_bert(config), "context_length": config.integer("max_position_embeddings") - _padding(config)}


def _distil(config: Config) -> Facts:
    """Its epsilon is not configured."""
    return {**_bert(config), "attention.layer_norm_epsilon": 1e-12}


def _modern(config: Config) -> Facts:
    """`local_attention` counts both sides. Published files name the bases of both kinds of layers themselves."""
    kinds = [kind == "sliding_attention" for kind in config.get("layer_types", default=[])]
    found: dict[str, Addable | None] = {
        **_facts(config),
        "attention.sliding_window": config.integer("local_attention", default=128),
        "attention.sliding_window_pattern": kinds or config.integer("global_attn_every_n_layers", default=3),
        "tokenizer.ggml.token_type_count": None,
    }
    for key, name in (("rope.freq_base", "global_rope_theta"), ("rope.freq_base_swa", "local_rope_theta")):
        if name in config:
            found[key] = config.number(name)
    return found


def _decoder_like(config: Config) -> Facts:
    return {"attention.causal": False}


def _gemma(config: Config) -> Facts:
    """Its window counts both sides."""
    scale = config.number("query_pre_attn_scalar", default=256) ** -0.5
    return {**_decoder_like(config), "attention.scale": scale}


RECIPES = (
    Recipe(("BertModel", "BertForMaskedLM"), "bert", (*_BERT, _POSITIONS), facts=_bert, prefixes=_PREFIXES),
    Recipe(
        ("RobertaModel", "RobertaForMaskedLM", "XLMRobertaModel", "XLMRobertaForMaskedLM"), "bert",
        (*_BERT, Rule(_POSITIONS.source, _POSITIONS.target, _unpadded)), facts=_roberta, prefixes=_PREFIXES,
    ),
    Recipe(
        ("DistilBertModel", "DistilBertForMaskedLM"), "bert", _DISTIL,
        (Key("feed_forward_length", int, ("hidden_dim",)),), _distil, prefixes=_PREFIXES,
    ),
    Recipe(("NomicBertModel",), "nomic-bert", _ROTATED, facts=_facts),
    Recipe(("JinaEmbeddingsV3Model",), "jina-bert-v3", _ROTATED, facts=_facts),
    Recipe(
        ("ModernBertModel", "ModernBertForMaskedLM"), "modern-bert", _MODERN,
        (Key("attention.layer_norm_epsilon", float, ("norm_eps",)),), _modern, prefixes={"model.": ""}, uneven=True,
    ),
    Recipe(("EuroBertModel",), "eurobert", facts=_decoder_like),
    Recipe(("Gemma3TextModel",), "gemma-embedding", FOUR_NORMS, facts=_gemma, defaults=GEMMA3),
)  # fmt: skip
