"""Granite: llama with multipliers, dense and with experts."""

from __future__ import annotations

from ostinato.convert.recipe import Key, Recipe, Rule
from ostinato.convert.recipes.llama import PERMUTED
from ostinato.convert.transforms import first_half, second_half

_L, _B = "model.layers.{i}.", "blk.{i}."

MULTIPLIERS = (
    Key("attention.scale", float, ("attention_multiplier",)),
    Key("embedding_scale", float, ("embedding_multiplier",)),
    Key("residual_scale", float, ("residual_multiplier",)),
    Key("logit_scale", float, ("logits_scaling",)),
)
EXPERTS = (
    Rule(_L + "block_sparse_moe.router.layer.weight", _B + "ffn_gate_inp.weight"),
    Rule(_L + "block_sparse_moe.input_linear.weight", _B + "ffn_gate_exps.weight", first_half),
    Rule(_L + "block_sparse_moe.input_linear.weight", _B + "ffn_up_exps.weight", second_half),
    Rule(_L + "block_sparse_moe.output_linear.weight", _B + "ffn_down_exps.weight"),
    Rule(_L + "shared_mlp.input_linear.weight", _B + "ffn_gate_shexp.weight", first_half),
    Rule(_L + "shared_mlp.input_linear.weight", _B + "ffn_up_shexp.weight", second_half),
    Rule(_L + "shared_mlp.output_linear.weight", _B + "ffn_down_shexp.weight"),
)

RECIPES = (
    Recipe(("GraniteForCausalLM",), "granite", PERMUTED, MULTIPLIERS),
    Recipe(
        ("GraniteMoeForCausalLM", "GraniteMoeSharedForCausalLM"),
        "granitemoe",
        PERMUTED + EXPERTS,
        (*MULTIPLIERS, Key("expert_shared_feed_forward_length", int, ("shared_intermediate_size",))),
    ),
)
