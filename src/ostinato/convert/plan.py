"""Recipe and checkpoint -> plan: every tensor of the GGUF file, with where its values come from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ostinato.convert.config import Config
from ostinato.convert.errors import ConvertError
from ostinato.convert.numbers import BLOCKS, Array
from ostinato.convert.recipe import Place, Recipe, Rule
from ostinato.convert.safetensors import Source
from ostinato.convert.shared import OTHER_MODALITIES, PREFIXES, RULES

_NUMBER = re.compile(r"(?<=\.)\d{1,9}(?=\.|$)")
_LAYER = re.compile(r"(?:^|\.)layers\.([0-9]{1,6})\.")
_SHOWN = 3  # names that an error lists

Load = Callable[[Source], Array]


def _array(source: Source) -> Array:
    return source.array()


@dataclass(frozen=True)
class Planned:
    """A tensor to be written: its parts (experts, or one) are made one at a time by `part`.

    `dtype` and `shape` are those of its array; blocks count as one element each.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    parts: tuple[tuple[Source, ...], ...]
    rule: Rule
    place: Place

    def part(self, index: int, load: Load = _array) -> Array:
        """One part's array; `load` gives the array of a source (an index of its elements, for instance)."""
        arrays = [load(source) for source in self.parts[index]]
        return _apply(self.rule, self.place, [array[index] for array in arrays] if self.rule.each else arrays)


def plan_tensors(recipe: Recipe, config: Config, checkpoint: Mapping[str, Source]) -> list[Planned]:
    """All tensors that the recipe makes of a checkpoint, in its order. ConvertError for one that no rule knows, for
    missing experts and for shapes that do not fit."""
    prefixes = PREFIXES if recipe.prefixes is None else recipe.prefixes
    own = {rule.source for rule in recipe.rules}
    rules = _Rules((*recipe.rules, *(rule for rule in RULES if rule.source not in own)))
    found: dict[str, _Gathered] = {}
    unknown = []
    for name, source in checkpoint.items():
        known = _drafts(name, config)
        matches = () if known else rules.matches(_without(name, prefixes))
        for rule, position, values in matches:
            known = True
            if rule.target is not None and not _is_tied(rule, config):
                target = rule.target.format_map(values)
                gathered = found.setdefault(target, _Gathered(rule, values["i"], {}))
                gathered.add(target, rule, values["e"], position, source)
        if not known and not name.removeprefix("model.").startswith(OTHER_MODALITIES):
            unknown.append(name)
    if unknown:
        listed = ", ".join(f"{name:.100}" for name in unknown[:_SHOWN])
        raise ConvertError(f"{len(unknown)} tensors that {recipe.classes[0]} has no use for: {listed}")
    return [gathered.planned(target, config) for target, gathered in found.items()]


def _drafts(name: str, config: Config) -> bool:
    """Whether a tensor is of the layers after the last one, which guess several tokens ahead: no step needs them."""
    extra = config.integer("num_nextn_predict_layers", default=0)
    layer = _LAYER.search(name) if extra else None
    return layer is not None and config.layers <= int(layer[1]) < config.layers + extra


def _is_tied(rule: Rule, config: Config) -> bool:
    """An output matrix that is the embedding once more is not stored twice."""
    return rule.target == "output.{s}" and config.flag("tie_word_embeddings", default=False)


def _without(name: str, prefixes: Mapping[str, str]) -> str:
    for prefix, instead in prefixes.items():
        if name.startswith(prefix):
            return instead + name[len(prefix) :]
    return name


class _Rules:
    """Rules by name, the numbers in it apart: a checkpoint may have 100,000 tensors."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._by_template: dict[str, list[tuple[Rule, int, str, tuple[str, ...]]]] = {}
        for rule in rules:
            for position, source in enumerate(rule.sources):
                for suffix in ("weight", "bias") if "{s}" in source else ("",):
                    self._add(rule, position, source.replace("{s}", suffix), suffix)

    def matches(self, name: str) -> Iterator[tuple[Rule, int, dict[str, Any]]]:
        """The rules for a name: of those that know it, the first and all with the same source. With the position
        among the rule's sources, and what the placeholders stand for."""
        numbers = _NUMBER.findall(name)
        first: str | tuple[str, ...] | None = None
        for rule, position, suffix, roles in self._by_template.get(_NUMBER.sub("#", name), ()):
            values: dict[str, Any] = {"i": -1, "e": -1, "s": suffix}
            fits = True
            for role, number in zip(roles, numbers, strict=True):
                if role in values:
                    values[role] = int(number)
                else:
                    fits &= role == number
            if fits and (first is None or first == rule.source):
                first = rule.source
                yield rule, position, values

    def _add(self, rule: Rule, position: int, source: str, suffix: str) -> None:
        roles = tuple(part.strip("{}") for part in source.split(".") if part in ("{i}", "{e}") or part.isdecimal())
        template = _NUMBER.sub("#", source.replace("{i}", "#").replace("{e}", "#"))
        self._by_template.setdefault(template, []).append((rule, position, suffix, roles))


@dataclass
class _Gathered:
    """A target and the sources found for it: expert -> position among the rule's sources -> source."""

    rule: Rule
    layer: int
    experts: dict[int, dict[int, Source]]

    def add(self, target: str, rule: Rule, expert: int, position: int, source: Source) -> None:
        sources = self.experts.setdefault(expert, {})
        if rule is not self.rule or position in sources:
            raise ConvertError(f"tensor {source.name!r:.120} would be {target!r}, which another one is already")
        sources[position] = source

    def planned(self, target: str, config: Config) -> Planned:
        """Checked for completeness, with its shape."""
        stacked = -1 not in self.experts
        expected = range(len(self.experts)) if stacked else (-1,)
        if missing := [expert for expert in expected if expert not in self.experts]:
            raise ConvertError(f"{target}: expert {missing[0]} is missing in the checkpoint")
        for sources in self.experts.values():
            if len(sources) < len(self.rule.sources):
                wanted = self.rule.sources[next(p for p in range(len(self.rule.sources)) if p not in sources)]
                raise ConvertError(f"{target}: {wanted.replace('{i}', str(self.layer))} is missing in the checkpoint")
        parts = tuple(tuple(self.experts[expert][p] for p in range(len(self.rule.sources))) for expert in expected)
        place = Place(config, self.layer)
        if self.rule.each:
            parts *= parts[0][0].shape[0] if parts[0][0].shape else 0
        shapes = {self._shape(target, part, place) for part in dict.fromkeys(parts)}
        if len(shapes) != 1:
            raise ConvertError(f"{target}: its experts differ in shape or type")
        dtype, shape = shapes.pop()
        shape = (len(parts), *shape) if stacked or self.rule.each else shape
        return Planned(target, dtype, shape, parts, self.rule, place)

    def _shape(self, target: str, part: Sequence[Source], place: Place) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """What the transform makes of the sources' shapes: tried on arrays that take no memory."""
        first = int(self.rule.each)
        if not all(source.shape[:first] == part[0].shape[:first] for source in part):
            raise ConvertError(f"{target}: {part[0].name!r:.120} and what belongs to it differ in their experts")
        shapes = [np.broadcast_to(np.zeros((), source.dtype), source.shape[first:]) for source in part]
        result = _apply(self.rule, place, shapes, target)
        if not 1 <= result.ndim <= 4 or not prod(result.shape):
            raise ConvertError(f"{target}: {part[0].name!r:.120} gives a shape of {list(result.shape)}")
        return result.dtype, result.shape


def _apply(rule: Rule, place: Place, arrays: Sequence[Array], target: str = "") -> Array:
    if rule.transform is None:
        return arrays[0]
    try:
        return rule.transform(place, *arrays)
    except (ValueError, IndexError) as error:
        raise ConvertError(f"{target or rule.target}: {error}") from None


def elements(planned: Planned) -> tuple[int, ...]:
    """A tensor's shape in elements, as the file states it."""
    if planned.dtype not in BLOCKS:
        return planned.shape
    return (*planned.shape[:-1], planned.shape[-1] * BLOCKS[planned.dtype].block_elements)
