"""Marks: a control token written out in a message ("<|im_end|>") stays text, and ends nobody's turn.

A chat template puts marks and messages into one string, and the tokenizer cannot tell them apart. So every mark inside
a message is broken by a guard character before rendering, and the rendered text is encoded in pieces between guards.
Messages without marks are encoded exactly as they would be anyway.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

GUARD = "\ufdd0"  # a noncharacter: Unicode keeps it for uses like this one
TRUSTED = ("system", "assistant")  # roles that an application speaks for itself


class Marks:
    """The marks of one vocabulary."""

    def __init__(self, texts: Iterable[str]) -> None:
        """`texts` of all control tokens. One character alone cannot be broken, and is left as it is."""
        known = sorted((text for text in set(texts) if len(text) > 1), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, known))) if known else None

    def shield(self, text: str) -> str:
        """The text with every mark broken; guards of its own become U+FFFD."""
        text = text.replace(GUARD, "\ufffd")
        while self._pattern is not None and (broken := self._pattern.sub(_break, text)) != text:
            text = broken  # once more: what is left of one mark may begin another
        return text

    def shield_messages(self, messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Messages whose text from untrusted roles is shielded, wherever it stands in them."""
        return [dict(message) if message.get("role") in TRUSTED else self.shield_deep(message) for message in messages]

    def shield_deep(self, value: Any) -> Any:
        """A value of JSON with all texts in it shielded, names too: a template may write out a whole object."""
        if isinstance(value, str):
            return self.shield(value)
        if isinstance(value, Mapping):
            return {self.shield_deep(key): self.shield_deep(item) for key, item in value.items()}
        return [self.shield_deep(item) for item in value] if isinstance(value, list | tuple) else value


def encode_shielded(text: str, encode: Callable[[str], Sequence[int]]) -> list[int]:
    """Ids of a rendered text, encoded piece by piece between guards."""
    return [id for piece in text.split(GUARD) if piece for id in encode(piece)]


def _break(match: re.Match[str]) -> str:
    mark = match.group()
    return mark[0] + GUARD + mark[1:]
