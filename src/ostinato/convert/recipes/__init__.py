"""Recipes by the class name in config.json's `architectures`, a file for each family.

To add an architecture: write a Recipe in its family's file (or a new file, listed below). It names the classes and
the GGUF architecture, and only what differs from shared.py: rules for other tensor names or other element orders,
keys and facts for other metadata. The GGUF architecture has its line in model/architectures.py. Then give it a line
in tests/architectures/zoo.py, which compares it with `transformers` (tests/architectures/test_fast.py), and measure it
for docs/architectures.md: `python -m tests.architectures.table NAME`. A tensor that no rule knows is refused, so
nothing can be forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping

from ostinato.convert.recipe import Recipe
from ostinato.convert.recipes import (
    deepseek,
    encoders,
    experts,
    gemma,
    gpt,
    granite,
    hybrid,
    llama,
    mistral,
    others,
    qwen,
)

_FAMILIES = (llama, qwen, gemma, granite, deepseek, experts, hybrid, mistral, others, encoders, gpt)

RECIPES: Mapping[str, Recipe] = {
    name: recipe for family in _FAMILIES for recipe in family.RECIPES for name in recipe.classes
}
