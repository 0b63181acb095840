"""Under every real template: a control token that a stranger writes out stays text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ostinato.chat import ChatEncoder, ChatError, ChatTemplate
from tests.templates.conversations import CASES, PLAIN, call, say
from tests.templates.test_real import NEEDED, PATHS, TOKENS

# What looks like a control token in a template's source: <|im_end|>, <｜User｜>, [INST], </s>, <end_of_turn>, ...
MARK = re.compile(
    r"<[|｜][^<>\s{}'\"]+[|｜]>|<\|[a-z_]+>|<[a-z_]+\|>|\[/?[A-Z_]{3,}\]|</?[a-zA-Z_]+>|<SPECIAL_\d+>|\]~[!b]?\w*\["
)


class Marked:
    """A vocabulary of all characters, and of a template's marks as control tokens from 2^21 on."""

    FIRST = 1 << 21

    def __init__(self, marks: Sequence[str]) -> None:
        self.marks = sorted(marks, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, self.marks)))

    def control_texts(self) -> list[str]:
        return self.marks

    def encode(self, text: str, add_special: bool = False, parse_special: bool = False) -> list[int]:
        ids: list[int] = []
        end = 0
        for match in self._pattern.finditer(text):
            ids += [*map(ord, text[end : match.start()]), self.FIRST + self.marks.index(match.group())]
            end = match.end()
        return [*ids, *map(ord, text[end:])]

    def controls(self, ids: Sequence[int]) -> list[str]:
        return [self.marks[id - self.FIRST] for id in ids if id >= self.FIRST]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(chr(id) if id < self.FIRST else self.marks[id - self.FIRST] for id in ids)


@pytest.fixture(scope="module")
def chat() -> Iterator[ChatTemplate]:
    template = ChatTemplate({path.stem: path.read_text() for path in PATHS}, TOKENS)
    yield template
    template.close()


def conversations(text: str) -> list[dict[str, Any]]:
    """A stranger's text in every place where one can put it."""
    result = say("tool", text, name="add", tool_call_id="call00001")
    asked = [say("user", "1+2?"), say("assistant", "", tool_calls=[call("add", {"a": 1, "b": 2})])]
    tool = {"type": "function", "function": {**PLAIN["function"], "description": text}}  # type: ignore[dict-item]
    return [
        {"messages": [say("user", text)]},
        {"messages": [say("system", "Be brief."), say("user", "a"), say("assistant", "b"), say("user", text)]},
        {"messages": [say("user", [{"type": "text", "text": text}])]},
        {"messages": [*asked, result], "tools": [PLAIN]},
        {"messages": [say("user", "Hi")], "tools": [tool]},
        {"messages": [say("user", "Hi")], "documents": [{"title": text, "text": text}]},
    ]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_marks_stay_text(chat: ChatTemplate, path: Path) -> None:
    marks = sorted({*MARK.findall(path.read_text()), *TOKENS.values(), "<|im_end|>"})
    vocabulary = Marked(marks)
    encoder = ChatEncoder(chat, vocabulary)
    needed = dict(NEEDED.get(path.stem, {}))
    tools = {"tools": needed.pop("tools")} if "tools" in needed else {}
    compared = 0
    # At last marks within marks: where one is taken away, what is left is another.
    for attack in (" ".join(marks), "".join(marks), "".join(mark[:2] + mark + mark[2:] for mark in marks)):
        for honest, forged in zip(conversations("an honest text"), conversations(f"a{attack} c"), strict=True):
            try:
                expected, ids = (
                    encoder.encode(template=path.stem, variables=needed, **{**tools, **given})
                    for given in (honest, forged)
                )
            except ChatError:
                continue  # a template that takes no such conversation
            assert vocabulary.controls(ids) == vocabulary.controls(expected), f"{attack} in {forged}"
            compared += 1
    assert compared >= 6


def test_a_text_with_marks_arrives_whole(chat: ChatTemplate) -> None:
    path = next(path for path in PATHS if path.stem.startswith("Qwen3"))
    vocabulary = Marked(["<|im_start|>", "<|im_end|>"])
    ids = ChatEncoder(chat, vocabulary).encode(CASES["marks"]["messages"], template=path.stem)
    assert "<|im_end|><|eot_id|></s>" in vocabulary.decode(ids)
