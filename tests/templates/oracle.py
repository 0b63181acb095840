"""What `transformers` makes of a template: the oracle for ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from ostinato.chat import ChatError, ChatTemplate

ADDRESS = re.compile(" at 0x[0-9a-f]+")
NOW = datetime(2024, 7, 26, 13, 5, 9)
NAMED = ("tools", "documents", "add_generation_prompt")  # what is no variable of a template's own


class StoppedClock(datetime):
    """It is always NOW."""

    @classmethod
    def now(cls, tz: Any = None) -> StoppedClock:
        return cls.fromisoformat(NOW.isoformat())


@dataclass(frozen=True)
class Refusal:
    """No text; what was said instead."""

    words: str


def oracle(source: str, context: Mapping[str, Any]) -> str | Refusal:
    """What apply_chat_template makes of it. Skips where `transformers` is not installed."""
    pytest.importorskip("transformers", reason="transformers is absent: the oracle for chat templates")
    from transformers.utils import chat_template_utils

    given = dict(context)
    messages = given.pop("messages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chat_template_utils, "datetime", StoppedClock)
        try:
            answer = chat_template_utils.render_jinja_template([messages], chat_template=source, **given)
        except RecursionError:
            return Refusal("maximum recursion depth exceeded")  # where it ended is an accident
        except Exception as error:  # whatever a template can raise
            return Refusal(str(error))
    return str(answer[0][0])


def ours(chat: ChatTemplate, context: Mapping[str, Any], template: str | None = None) -> str | Refusal:
    """What we make of the same."""
    named = {name: context[name] for name in NAMED if name in context}
    variables = {name: value for name, value in context.items() if name not in (*NAMED, "messages")}
    named.setdefault("add_generation_prompt", False)
    try:
        return chat.render(context["messages"], variables=variables, template=template, now=NOW, **named)
    except ChatError as error:
        return Refusal(str(error))


def assert_same(ours: str | Refusal, expected: str | Refusal) -> None:
    """Byte for byte (where an object has no better name than its address, but for that), or both refused, for the same
    reason."""
    if isinstance(expected, Refusal):
        assert isinstance(ours, Refusal), f"{ours!r}, but should be refused: {expected.words}"
        assert expected.words[:200] in ours.words
    else:
        assert isinstance(ours, str), f"{ours.words}, but should be {expected!r}"
        assert ADDRESS.sub("", ours) == ADDRESS.sub("", expected)
