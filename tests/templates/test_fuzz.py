"""Random templates: a text or a ChatError, in bounded time; where it is safe, what `transformers` makes of them."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ostinato.chat import ChatTemplate
from ostinato.templates.worker import MAX_TEXT
from tests.templates.grammar import NOISE, templates
from tests.templates.oracle import Refusal, assert_same, oracle, ours
from tests.templates.snippets import CONTEXT

pytestmark = pytest.mark.slow

LONGEST = 25.0  # seconds for one template: four of processor time, on a machine that does other things
UNHURRIED = settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))


def batches(sources: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, str]]:
    """Many at a time: each needs no worker of its own."""
    return st.lists(sources, min_size=5, max_size=20).map(lambda all: {str(i): one for i, one in enumerate(all)})


@UNHURRIED
@given(batches(st.one_of(NOISE, templates(hostile=True))))
def test_a_text_or_a_clear_error(sources: dict[str, str]) -> None:
    chat = ChatTemplate({**sources, "sane": "{{ word }}"})
    try:
        for name in sources:
            started = time.monotonic()
            found = ours(chat, {**CONTEXT, "word": "w"}, name)
            assert time.monotonic() - started < LONGEST
            if isinstance(found, Refusal):
                assert found.words.startswith("the model's chat template: ")
            else:
                assert len(found) <= MAX_TEXT
        assert chat.render([], variables={"word": "w"}, template="sane") == "w"
    finally:
        chat.close()


@UNHURRIED
@given(batches(st.one_of(NOISE, templates(hostile=False))))
def test_the_same_as_transformers(sources: dict[str, str]) -> None:
    chat = ChatTemplate(sources)
    try:
        for name, source in sources.items():
            expected, found = oracle(source, CONTEXT), ours(chat, CONTEXT, name)
            if isinstance(expected, Refusal):
                assert isinstance(found, Refusal)  # messages may name addresses, or what is private
            else:
                assert_same(found, expected)
    finally:
        chat.close()
