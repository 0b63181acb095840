"""The vocabulary of a checkpoint as metadata."""

from __future__ import annotations

from pathlib import Path

from ostinato.convert.config import Config
from ostinato.convert.errors import ConvertError
from ostinato.convert.recipe import Recipe
from ostinato.gguf.encode import Addable


def tokenizer_metadata(folder: Path, config: Config, recipe: Recipe) -> dict[str, Addable]:
    """The vocabulary's keys."""
    raise ConvertError(f"{folder}: vocabularies are not converted; use --no-tokenizer")
