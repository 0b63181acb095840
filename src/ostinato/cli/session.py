"""A conversation and its settings, and the JSON file that keeps them. Such a file may come from a stranger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ostinato.cli.places import write_private
from ostinato.cli.settings import SETTINGS, Values

FORMAT = "ostinato-session"
VERSION = 1
MAX_BYTES = 64 << 20
ROLES = ("user", "assistant")


@dataclass
class Session:
    """What was said so far (user and assistant in turn; the system message is a setting)."""

    model: str
    values: Values
    messages: list[dict[str, str]] = field(default_factory=list)
    open: bool = True
    initial: Mapping[str, Any] = field(init=False)  # the settings it began with

    def __post_init__(self) -> None:
        self.initial = dict(self.values)

    def prompt(self) -> list[dict[str, str]]:
        """The messages for a template: the system message first, if there is one."""
        system = self.values["system"]
        return [*([{"role": "system", "content": system}] if system else []), *self.messages]

    def save(self, path: Path) -> None:
        """Raises OSError; ValueError where another kind of file is in the way."""
        if path.exists():
            _read(path)
        kept = {"format": FORMAT, "version": VERSION, "model": self.model}
        text = json.dumps({**kept, "settings": self.values, "messages": self.messages}, indent=1, ensure_ascii=False)
        write_private(path, text + "\n")

    def load(self, path: Path) -> str:
        """Takes over a saved conversation, whole or not at all; returns the name of its model. OSError, ValueError."""
        found = _read(path)
        values, messages = _settings(path, found), _messages(path, found)
        self.values, self.messages = {**self.initial, **values}, messages
        return str(found.get("model", ""))


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path}: too large for a saved conversation")
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ValueError(f"{path}: this is no saved conversation")
    if found.get("version") != VERSION:
        raise ValueError(f"{path}: version {str(found.get('version'))[:20]}; this program reads version {VERSION}")
    return found


def _settings(path: Path, found: Mapping[str, Any]) -> Values:
    given = found.get("settings")
    if not isinstance(given, dict):
        raise ValueError(f"{path}: it holds no settings")
    if unknown := sorted(given.keys() - SETTINGS.keys()):
        raise ValueError(f"{path}: unknown setting {unknown[0][:40]!r}")
    return {name: SETTINGS[name].check(value) for name, value in given.items()}


def _messages(path: Path, found: Mapping[str, Any]) -> list[dict[str, str]]:
    given = found.get("messages")
    if not isinstance(given, list) or not all(map(_is_message, given)):
        raise ValueError(f"{path}: its messages are not of the form role ({' or '.join(ROLES)}) and content (a text)")
    return given


def _is_message(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"role", "content"}
        and value["role"] in ROLES
        and isinstance(value["content"], str)
    )
