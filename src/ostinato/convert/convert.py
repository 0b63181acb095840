"""convert: a Hugging Face checkpoint (safetensors, config.json, tokenizer) becomes a GGUF file.

Everything is planned and checked first; then values stream through, a few megabytes at a time, so that memory does
not grow with the model. The file appears whole, or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ostinato.convert.check import check_layers, check_model
from ostinato.convert.config import FILE, Config, read_config
from ostinato.convert.errors import ConvertError
from ostinato.convert.metadata import model_metadata, stored_types
from ostinato.convert.plan import Planned, elements, plan_tensors
from ostinato.convert.pooling import read_pooling
from ostinato.convert.recipe import Recipe
from ostinato.convert.recipes import RECIPES
from ostinato.convert.safetensors import open_checkpoint
from ostinato.convert.scaled import join_scales
from ostinato.convert.shared import rope_factors
from ostinato.convert.tokenizer import tokenizer_metadata
from ostinato.convert.types import AUTO, TYPES, choose_type, encoded
from ostinato.gguf.encode import Addable
from ostinato.gguf.types_table import TensorType, nbytes
from ostinato.gguf.writer import GGUFWriter
from ostinato.model.architectures import unsupported

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Plan:
    """A conversion that is about to happen: all that the file will hold, nothing read yet but headers."""

    architecture: str
    metadata: Mapping[str, Addable]
    tensors: tuple[Planned, ...]
    types: Mapping[str, TensorType]
    extras: Mapping[str, np.ndarray]

    @property
    def nbytes(self) -> int:
        """Bytes of tensor data."""
        stored = sum(nbytes(self.types[planned.name], elements(planned)) for planned in self.tensors)
        return stored + sum(values.nbytes for values in self.extras.values())


def plan(folder: str | os.PathLike[str], type: str = AUTO, tokenizer: bool = True, name: str | None = None) -> Plan:
    """Reads a checkpoint's headers and says what the file will be. `type` is one of TYPES, or "auto": as in the
    checkpoint; `tokenizer` False leaves the vocabulary out. ConvertError for all that is missing or unknown."""
    folder = Path(folder)
    if type != AUTO and type not in TYPES:
        raise ConvertError(f"type {type!r:.40} is not known; known: {AUTO}, {', '.join(TYPES)}")
    if not folder.is_dir():
        raise ConvertError(f"{folder}: not a folder; expected a checkpoint with config.json and safetensors")
    recipe, config = _recipe(folder)
    return _plan(folder, recipe, config, TYPES.get(type), tokenizer, name or folder.resolve().name)


def _plan(folder: Path, recipe: Recipe, config: Config, type: TensorType | None, tokenizer: bool, name: str) -> Plan:
    pooling = read_pooling(folder)
    checkpoint = {**join_scales(open_checkpoint(folder), config), **pooling.dense}
    with _formulas(folder):
        tensors = tuple(plan_tensors(recipe, config, checkpoint))
        types = {planned.name: choose_type(planned, type) for planned in tensors}
        metadata = model_metadata(recipe, config, name, stored_types(types))
        extras = {**rope_factors(config), **recipe.extras(config)}
    metadata |= pooling.metadata(recipe.architecture)
    metadata |= tokenizer_metadata(folder, config, _rows(tensors)) if tokenizer else {"tokenizer.ggml.model": "none"}
    made = Plan(recipe.architecture, metadata, tensors, types, extras)
    try:
        if not recipe.uneven:
            check_layers(tensors, config.layers)
        check_model(metadata, tensors, types, extras)
    except ConvertError as error:
        raise ConvertError(f"{folder}: {error}") from None
    return made


@contextmanager
def _formulas(folder: Path) -> Iterator[None]:
    """Recipes' arithmetic, on values that no model has."""
    try:
        yield
    except (ArithmeticError, TypeError) as error:
        raise ConvertError(f"{folder / FILE}: values that make no model: {error}") from error


def write(made: Plan, path: str | os.PathLike[str], advance: Advance = lambda count: None) -> None:
    """Writes the file; `advance` is called with bytes as they are done."""
    with GGUFWriter(path) as writer:
        for key, value in made.metadata.items():
            writer.add(key, value)
        for planned in made.tensors:
            writer.add_tensor(planned.name, elements(planned), made.types[planned.name])
        for name, values in made.extras.items():
            writer.add_tensor(name, values.shape, TensorType.F32)
        for planned in made.tensors:
            for part in encoded(planned, made.types[planned.name]):
                writer.write(planned.name, part.data)
                advance(part.nbytes)
        for name, values in made.extras.items():
            writer.write(name, values.data)


def convert(
    folder: str | os.PathLike[str], path: str | os.PathLike[str], type: str = AUTO, tokenizer: bool = True
) -> None:
    """`plan` and `write` in one."""
    write(plan(folder, type, tokenizer), path)


def _recipe(folder: Path) -> tuple[Recipe, Config]:
    name, config = read_config(folder)
    if name not in RECIPES:
        raise ConvertError(f"{folder}: {unsupported(name, RECIPES)}")
    recipe = RECIPES[name]
    return recipe, config.with_defaults(recipe.defaults or {})


def _rows(tensors: tuple[Planned, ...]) -> int:
    """Rows of the embedding, so many tokens the vocabulary has."""
    return next((planned.shape[0] for planned in tensors if planned.name == "token_embd.weight"), 0)
