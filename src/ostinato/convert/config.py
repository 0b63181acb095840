"""config.json of a checkpoint: values by name, with errors that name the key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ostinato.convert.errors import ConvertError
from ostinato.convert.jsonfile import read_json

FILE = "config.json"
_MISSING = object()
MAX_LAYERS = 4096
MAX_SIZE = 2**31 - 1  # of any whole number
MAX_NUMBER = 1e30  # of any other


class Config:
    """The values of a configuration. Names are tried in order; a null counts as absent."""

    def __init__(self, values: Mapping[str, Any], where: str = FILE) -> None:
        self._values = values
        self._where = where

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def get(self, *names: str, default: Any = None) -> Any:
        """The first of the names that is there, as it is."""
        return next((self._values[name] for name in names if name in self), default)

    def integer(self, *names: str, default: Any = _MISSING) -> int:
        """A whole number, which may be listed once for each layer, alike for all."""
        value = self._typed(names, default, (int, list), "a whole number")
        value = self._alike(names[0], value) if isinstance(value, list) else value
        if not -1 <= value <= MAX_SIZE:
            raise ConvertError(f"{self._where}: {names[0]!r} is {value}; expected at most {MAX_SIZE}")
        return int(value)

    def number(self, *names: str, default: Any = _MISSING) -> float:
        value = self._typed(names, default, (int, float), "a number")
        if not -MAX_NUMBER <= value <= MAX_NUMBER:  # nor NaN
            raise ConvertError(f"{self._where}: {names[0]!r} is {value!r:.20}; expected at most {MAX_NUMBER:g}")
        return float(value)

    def flag(self, *names: str, default: Any = _MISSING) -> bool:
        return bool(self._typed(names, default, bool, "true or false"))

    def text(self, *names: str, default: Any = _MISSING) -> str:
        return str(self._typed(names, default, str, "a text"))

    def items(self, *names: str, length: int | None = None) -> list[Any]:
        """A list, of `length` where given."""
        found: list[Any] = self._typed(names, _MISSING, list, "a list")
        if length is not None and len(found) != length:
            raise ConvertError(f"{self._where}: {names[0]!r} has {len(found)} entries; expected {length}")
        return found

    def within(self, *names: str) -> Config:
        """A part of the configuration, empty where it is absent."""
        return Config(self._typed(names, {}, dict, "an object"), f"{self._where}: {names[0]}")

    def with_defaults(self, defaults: Mapping[str, Any]) -> Config:
        """What an absent name means."""
        present = {name: value for name, value in self._values.items() if value is not None}
        return Config({**defaults, **present}, self._where)

    @property
    def layers(self) -> int:
        names = ("num_hidden_layers", "n_layers", "n_layer", "num_layers")
        listed = "layers_block_type" in self and not any(name in self for name in names)
        count = len(self.items("layers_block_type")) if listed else self.integer(*names)
        if not 1 <= count <= MAX_LAYERS:
            raise ConvertError(f"{self._where}: {count} layers; expected 1 to {MAX_LAYERS}")
        return count

    @property
    def heads(self) -> int:
        return self._positive("num_attention_heads", "n_head", "n_heads")

    @property
    def kv_heads(self) -> int:
        return self._positive("num_key_value_heads", "n_kv_heads", default=self.heads)

    @property
    def width(self) -> int:
        return self._positive("hidden_size", "n_embd", "dim", "d_model")

    @property
    def head_dim(self) -> int:
        return self._positive("head_dim", "kv_channels", default=self.width // self.heads)

    def _alike(self, name: str, listed: list[Any]) -> int:
        if not listed or any(type(value) is not int or value != listed[0] for value in listed):
            raise ConvertError(
                f"{self._where}: {name!r} is {listed!r:.60}; expected a whole number alike in all layers"
            )
        return int(listed[0])

    def _positive(self, *names: str, default: Any = _MISSING) -> int:
        value = self.integer(*names, default=default)
        if value < 1:
            raise ConvertError(f"{self._where}: {names[0]!r} is {value}; expected at least 1")
        return value

    def _typed(self, names: tuple[str, ...], default: Any, kind: Any, what: str) -> Any:
        value = self.get(*names, default=default)
        if value is _MISSING:
            raise ConvertError(f"{self._where}: {' or '.join(map(repr, names))} is missing")
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ConvertError(f"{self._where}: {names[0]!r} is {value!r:.60}; expected {what}")
        return value


def read_config(folder: Path) -> tuple[str, Config]:
    """The name of the architecture's class and the configuration; a text model's inside a larger one comes forward."""
    values = read_json(folder / FILE)
    names = values.get("architectures")
    if not isinstance(names, list) or len(names) != 1 or not isinstance(names[0], str):
        raise ConvertError(f"{folder / FILE}: 'architectures' must be a list of one class name, found {names!r:.80}")
    inner = values.get("text_config")
    merged = {**values, **inner} if isinstance(inner, dict) else values
    return names[0], Config(merged, str(folder / FILE))
