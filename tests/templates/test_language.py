"""Python's and Jinja2's habits, one by one: what `transformers` makes of a snippet is what we make of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ostinato.chat import ChatTemplate
from tests.templates.oracle import Refusal, assert_same, oracle, ours
from tests.templates.snippets import CONTEXT, REFUSED, snippets

SNIPPETS = snippets()


@pytest.fixture(scope="module")
def chat() -> Iterator[ChatTemplate]:
    template = ChatTemplate({source: source for source in (*SNIPPETS, *REFUSED)})
    yield template
    template.close()


@pytest.mark.parametrize("source", SNIPPETS)
def test_snippet(chat: ChatTemplate, source: str) -> None:
    assert_same(ours(chat, CONTEXT, source), oracle(source, CONTEXT))


@pytest.mark.parametrize("source", REFUSED)
def test_refused(chat: ChatTemplate, source: str) -> None:
    assert isinstance(oracle(source, CONTEXT), Refusal)
    assert isinstance(ours(chat, CONTEXT, source), Refusal)
