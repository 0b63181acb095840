"""Templates of real models write what `transformers` writes, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ostinato.chat import ChatTemplate
from tests.support import find_data_dir
from tests.templates.conversations import CASES
from tests.templates.oracle import assert_same, oracle, ours

FOLDER = find_data_dir()
PATHS = sorted((FOLDER / "templates").glob("*.jinja")) if FOLDER else []
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
# What some templates cannot do without, where a conversation has nothing of the kind.
NEEDED: dict[str, dict[str, Any]] = {
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use": {"tools": []},
    "fireworks-ai-llama-3-firefunction-v2": {"functions": '[{"name": "f"}]', "datetime": "26 July 2024"},
}


@pytest.fixture(scope="module")
def chat() -> Iterator[ChatTemplate]:
    template = ChatTemplate({path.stem: path.read_text() for path in PATHS}, TOKENS)
    yield template
    template.close()


def test_there_are_templates(data_dir: Path) -> None:
    assert len(PATHS) >= 30


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_conversation(chat: ChatTemplate, path: Path) -> None:
    source = path.read_text()
    rendered = 0
    for name, context in CASES.items():
        context = {**NEEDED.get(path.stem, {}), **context}
        expected = oracle(source, {**TOKENS, **context})
        try:
            assert_same(ours(chat, context, path.stem), expected)
        except AssertionError as error:
            raise AssertionError(f"{path.name}, {name}: {error}") from error
        rendered += isinstance(expected, str)
    assert rendered >= 12, "the template takes few of the conversations: the comparison says little"
