"""The settings of an answer: one table, for the options of `run` and for `/set` in a chat."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from math import isfinite
from typing import Any

Values = dict[str, Any]  # name of a setting -> its value


class Kind(Enum):
    """What a value is; the text says what is expected where something else came."""

    NUMBER = "a number"
    WHOLE = "a whole number"
    COUNT = "a whole number from 1"
    TEXT = "a text"
    TEXTS = "a text, or a JSON list of texts"
    SWITCH = "on or off"


@dataclass(frozen=True)
class Setting:
    """One line of the table. `unset` says what None means."""

    name: str
    kind: Kind
    default: Any
    metavar: str
    text: str
    unset: str = ""
    sampling: bool = True  # a field of backends.sampling.Sampling

    def parse(self, text: str) -> Any:
        """The value that someone typed. Raises ValueError."""
        if self.unset and text == self.unset:
            return None
        try:
            return self.check(_PARSERS[self.kind](text))
        except (ValueError, KeyError) as error:
            raise ValueError(str(error) if self.name in str(error) else self._expected(text)) from None

    def check(self, value: Any) -> Any:
        """The value, if it is of the right kind and in range. Raises ValueError."""
        if value is None and self.unset:
            return None
        if not _CHECKS[self.kind](value):
            raise ValueError(self._expected(value))
        if self.sampling:
            from ostinato.backends.sampling import Sampling

            Sampling(**{self.name: value}).check(vocab_size=1)
        return value

    def show(self, value: Any) -> str:
        """For a listing."""
        if value is None:
            return self.unset
        if self.kind is Kind.SWITCH:
            return "on" if value else "off"
        return json.dumps(value, ensure_ascii=False) if isinstance(value, str | list) else f"{value:g}"

    def _expected(self, value: object) -> str:
        return f"{self.name} is {str(value)[:40]!r}; expected {self.kind.value}"


SETTINGS = {
    setting.name: setting
    for setting in (
        Setting("temperature", Kind.NUMBER, 0.7, "X", "how freely it draws; 0: always the most probable token"),
        Setting("top_k", Kind.WHOLE, 0, "K", "keep the K most probable tokens; 0: all"),
        Setting("top_p", Kind.NUMBER, 1.0, "P", "keep the most probable that sum up to P; 1: all"),
        Setting("min_p", Kind.NUMBER, 0.0, "P", "keep those of at least P x the best one's probability"),
        Setting("presence_penalty", Kind.NUMBER, 0.0, "X", "taken off the logit of a token that came before"),
        Setting("frequency_penalty", Kind.NUMBER, 0.0, "X", "taken off once for each time it came"),
        Setting("repetition_penalty", Kind.NUMBER, 1.0, "X", "divides the logit of a token that came before; 1: none"),
        Setting("seed", Kind.WHOLE, None, "N", "makes an answer repeatable", "random"),
        Setting("max_tokens", Kind.COUNT, None, "N", "end after N tokens", "to the end", sampling=False),
        Setting("stop", Kind.TEXTS, [], "TEXT", "end before TEXT", sampling=False),
        Setting("system", Kind.TEXT, "", "TEXT", "what the model is told first", sampling=False),
        Setting("verbose", Kind.SWITCH, False, "", "times and rates after each answer", sampling=False),
    )
}


def defaults() -> Values:
    """What holds where nothing is said."""
    return {name: setting.default for name, setting in SETTINGS.items()}


def for_model(values: Mapping[str, Any], context: int) -> Values:
    """As ostinato.api.Settings; a seed is drawn where none was given."""
    settings = {name: values[name] for name, setting in SETTINGS.items() if setting.sampling}
    # Not by `secrets`, which imports hmac, base64 and random: a start waits for them.
    seed = int.from_bytes(os.urandom(4), "big") if values["seed"] is None else values["seed"]
    return {**settings, "seed": seed, "stop": values["stop"], "max_tokens": values["max_tokens"] or context}


def _texts(text: str) -> Any:
    return json.loads(text) if text.startswith("[") else [text]


_PARSERS: dict[Kind, Callable[[str], Any]] = {
    Kind.NUMBER: float,
    Kind.WHOLE: int,
    Kind.COUNT: int,
    Kind.TEXT: str,
    Kind.TEXTS: _texts,
    Kind.SWITCH: {"on": True, "true": True, "off": False, "false": False}.__getitem__,
}


def _is_whole(value: Any) -> bool:
    return type(value) is int


_CHECKS: dict[Kind, Callable[[Any], bool]] = {
    Kind.NUMBER: lambda value: type(value) in (int, float) and isfinite(value),
    Kind.WHOLE: _is_whole,
    Kind.COUNT: lambda value: _is_whole(value) and 1 <= value < 2**31,
    Kind.TEXT: lambda value: type(value) is str,
    Kind.TEXTS: lambda value: type(value) is list and all(type(text) is str and text for text in value),
    Kind.SWITCH: lambda value: type(value) is bool,
}
