"""The metadata of the file: what recipe and configuration say of the model."""

from __future__ import annotations

from collections.abc import Mapping

from ostinato.convert.config import Config
from ostinato.convert.recipe import Key, Recipe
from ostinato.convert.shared import KEYS, facts
from ostinato.convert.types import FILE_TYPES
from ostinato.gguf.encode import Addable
from ostinato.gguf.types_table import TensorType

QUANTIZATION_VERSION = 2  # of ggml's block formats (ggml.h, GGML_QNT_VERSION)


def model_metadata(recipe: Recipe, config: Config, name: str, type: TensorType) -> dict[str, Addable]:
    """All keys but the tokenizer's. A recipe's own values override the shared ones; None removes a key."""
    found: dict[str, Addable] = {
        "general.architecture": recipe.architecture,
        "general.type": "model",
        "general.name": name,
        "general.file_type": FILE_TYPES[type],
        "general.quantization_version": QUANTIZATION_VERSION,
    }
    own = {key.key for key in recipe.keys}
    copied = _copied((*recipe.keys, *(key for key in KEYS if key.key not in own)), config)
    merged: dict[str, Addable | None] = {**copied, **facts(config), **recipe.facts(config)}
    return found | {_full(recipe, key): value for key, value in merged.items() if value is not None}


def _full(recipe: Recipe, key: str) -> str:
    """With the architecture's prefix; what is said of tokens has one of its own."""
    return key if key.startswith("tokenizer.") else f"{recipe.architecture}.{key}"


def _copied(keys: tuple[Key, ...], config: Config) -> dict[str, Addable]:
    read = {int: config.integer, float: config.number, bool: config.flag}
    return {key.key: read[key.kind](*key.names) for key in keys if any(name in config for name in key.names)}


def stored_types(types: Mapping[str, TensorType]) -> TensorType:
    """The type that most matrices have, for general.file_type."""
    counts: dict[TensorType, int] = {}
    for name, type in types.items():
        if type in FILE_TYPES and not name.endswith("_norm.weight"):
            counts[type] = counts.get(type, 0) + 1
    return max(counts, key=lambda type: counts[type], default=TensorType.F32)
