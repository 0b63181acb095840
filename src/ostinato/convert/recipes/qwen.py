"""Qwen 2 and 3, dense and with experts."""

from __future__ import annotations

from ostinato.convert.config import Config
from ostinato.convert.recipe import Facts, Recipe
from ostinato.convert.shared import window_facts


def _late_windows(config: Config) -> Facts:
    """Layers from `max_window_layers` on have the window, where `layer_types` does not list them."""
    if "layer_types" in config or not window_facts(config):
        return {}
    first = config.integer("max_window_layers")
    return {"attention.sliding_window_pattern": [layer >= first for layer in range(config.layers)]}


def _recipe(name: str, architecture: str, *others: str) -> Recipe:
    return Recipe((name, *others), architecture, facts=_late_windows, defaults={"use_sliding_window": False})


RECIPES = (
    _recipe("Qwen2ForCausalLM", "qwen2"),
    _recipe("Qwen2MoeForCausalLM", "qwen2moe"),
    _recipe("Qwen3ForCausalLM", "qwen3", "Qwen3Model"),
    _recipe("Qwen3MoeForCausalLM", "qwen3moe"),
)
