"""llama and its close relatives."""

from __future__ import annotations

from ostinato.convert.recipe import Recipe, Rule
from ostinato.convert.transforms import first_half, permute_key, permute_query, second_half

_L, _B = "model.layers.{i}.", "blk.{i}."

PERMUTED = (
    Rule(_L + "self_attn.q_proj.{s}", _B + "attn_q.{s}", permute_query),
    Rule(_L + "self_attn.k_proj.{s}", _B + "attn_k.{s}", permute_key),
)

MIXTRAL_EXPERTS = (
    Rule(_L + "block_sparse_moe.gate.weight", _B + "ffn_gate_inp.weight"),
    Rule(_L + "block_sparse_moe.experts.{e}.w1.weight", _B + "ffn_gate_exps.weight"),
    Rule(_L + "block_sparse_moe.experts.{e}.w2.weight", _B + "ffn_down_exps.weight"),
    Rule(_L + "block_sparse_moe.experts.{e}.w3.weight", _B + "ffn_up_exps.weight"),
    Rule(_L + "block_sparse_moe.experts.gate_up_proj", _B + "ffn_gate_exps.weight", first_half),
    Rule(_L + "block_sparse_moe.experts.gate_up_proj", _B + "ffn_up_exps.weight", second_half),
    Rule(_L + "block_sparse_moe.experts.down_proj", _B + "ffn_down_exps.weight"),
)

RECIPES = (
    Recipe(("LlamaForCausalLM",), "llama", PERMUTED),
    Recipe(("MistralForCausalLM",), "llama", PERMUTED),
    Recipe(("MixtralForCausalLM",), "llama", PERMUTED + MIXTRAL_EXPERTS),
)
