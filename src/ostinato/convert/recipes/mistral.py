"""Mistral 3 and 4: YaRN whose gain the scores make up for, and queries that grow with their position."""

from __future__ import annotations

from ostinato.convert.config import Config
from ostinato.convert.recipe import Facts, Recipe
from ostinato.convert.recipes.deepseek import LATENT, latent_facts
from ostinato.convert.recipes.llama import PERMUTED
from ostinato.convert.shared import rope_parameters


def _temperature(config: Config) -> Facts:
    rope = rope_parameters(config)
    if "llama_4_scaling_beta" not in rope:
        return {}
    return {"attention.temperature_scale": rope.number("llama_4_scaling_beta")}


def _mistral3(config: Config) -> Facts:
    rope = rope_parameters(config)
    multiplier = rope.number("mscale_all_dim", default=0.0)
    return {**_temperature(config), "rope.scaling.yarn_log_multiplier": multiplier or None}


def _mistral4(config: Config) -> Facts:
    length = rope_parameters(config).integer("original_max_position_embeddings", default=8192)
    return {**latent_facts(config), **_temperature(config), "attention.temperature_length": length}


RECIPES = (
    Recipe(("Ministral3ForCausalLM", "Mistral3ForConditionalGeneration"), "mistral3", PERMUTED, facts=_mistral3),
    Recipe(("Mistral4ForCausalLM",), "mistral4", LATENT, facts=_mistral4),
)
