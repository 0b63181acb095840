"""What a recipe is made of: how one architecture's checkpoint becomes a GGUF file, as data.

A Rule names a tensor of the checkpoint and the GGUF tensor it becomes. In names, `{i}` is a layer's number, `{e}` an
expert's (experts become one stack) and `{s}` stands for both `weight` and `bias`:

    Rule("model.layers.{i}.self_attn.q_proj.{s}", "blk.{i}.attn_q.{s}", permute_query)

Several rules may take the same tensor (halves of a fused one); a rule without a target drops its tensor. A Key copies
a value of config.json; what needs arithmetic is a function Config -> Facts. See recipes/__init__.py to add one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ostinato.convert.config import Config
from ostinato.convert.numbers import Array
from ostinato.gguf.encode import Addable

Facts = Mapping[str, Addable | None]  # metadata (None: left out), keys without the architecture's prefix
Extras = Mapping[str, np.ndarray]  # tensors that config.json describes, float32


@dataclass(frozen=True)
class Place:
    """Where a transform is at work: the configuration, and the layer (-1 outside of layers)."""

    config: Config
    layer: int


# Takes one array for each source of its rule and gives what GGUF stores. It must work on any number type
# (numbers.py) and move elements only, unless it makes float32 of a tensor that stays float32 in the file.
Transform = Callable[..., Array]


@dataclass(frozen=True)
class Rule:
    """`source` (or several, which the transform joins) becomes `target`; None drops it.

    `each`: the transform takes one expert (an element of the first axis) at a time, so that no stack is in memory.
    """

    source: str | tuple[str, ...]
    target: str | None
    transform: Transform | None = None
    each: bool = False

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source,) if isinstance(self.source, str) else self.source


@dataclass(frozen=True)
class Key:
    """`key` gets the first of `names` that config.json has; none: it is left out. `kind` is int, float or bool."""

    key: str
    kind: type[Any]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Recipe:
    """One architecture: Hugging Face's class names, the name in GGUF, and how metadata and tensors map.

    `rules` come before the shared ones: the first rule that knows a tensor has it. `defaults` are those values of the
    configuration class that published config.json files leave out. `keys` and `facts` come after the shared ones and
    override them. `prefixes` are what may stand before the names that the rules use. `uneven`: some layers lack what
    others have (otherwise a sign of a damaged checkpoint).
    """

    classes: tuple[str, ...]
    architecture: str
    rules: tuple[Rule, ...] = ()
    keys: tuple[Key, ...] = ()
    facts: Callable[[Config], Facts] = lambda config: {}
    extras: Callable[[Config], Extras] = lambda config: {}
    defaults: Mapping[str, Any] | None = None
    prefixes: Mapping[str, str] | None = None
    uneven: bool = False
