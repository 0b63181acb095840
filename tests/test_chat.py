"""Chat templates as the rest of the program uses them: names, variables, tokens, time, errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import gguf
import pytest

from ostinato.chat import ChatEncoder, ChatError, ChatTemplate
from ostinato.gguf.tokenizer import Tokenizer

USER = [{"role": "user", "content": "é😀\n"}]
TOOLS = [{"type": "function", "function": {"name": "now"}}]
SOURCES = {
    "default": "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}",
    "tool_use": "tools: {{ tools | map(attribute='function.name') | join }}",
    "rag": "{{ documents[0].title }} {{ mode | default('fast') }} {{ add_generation_prompt }}",
    "names": "{{ tools }} {{ documents }} {{ bos_token }} {{ unk_token is defined }} {{ strftime_now('%Y %B') }}",
    "reasoning": "{% for m in messages %}{{ m.thinking }},{{ m.reasoning_content }};{% endfor %}",
}


@pytest.fixture(scope="module")
def chat() -> Iterator[ChatTemplate]:
    template = ChatTemplate(SOURCES, {"bos_token": "<s>"})
    yield template
    template.close()


def test_rendering(chat: ChatTemplate) -> None:
    assert chat.render(USER) == "<s>[user]é😀\n"
    assert chat.render([{"role": "user", "content": "x" * 2_000_000}]).endswith("xxx")
    assert chat.render(USER * 3).count("[") == 3


def test_the_template_is_chosen_as_transformers_does(chat: ChatTemplate) -> None:
    assert chat.render(USER, tools=TOOLS) == "tools: now"
    assert chat.render(USER, tools=[]) == "tools: "
    assert chat.render(USER, tools=TOOLS, template="default") == "<s>[user]é😀\n"
    assert chat.render(USER, documents=[{"title": "t"}], template="rag") == "t fast True"
    with pytest.raises(ChatError, match="no chat template 'rga'; it has default, names, rag, reasoning, tool_use"):
        chat.render(USER, template="rga")


def test_variables(chat: ChatTemplate) -> None:
    given = {"mode": "slow", "self": 1, "template": "x"}
    text = chat.render(USER, documents=[{"title": 1}], variables=given, template="rag", add_generation_prompt=False)
    assert text == "1 slow False"
    with pytest.raises(ChatError, match="cannot be called 'messages'"):
        chat.render(USER, variables={"messages": []})


def test_what_is_not_given(chat: ChatTemplate) -> None:
    now = datetime(2025, 2, 3)
    assert chat.render(USER, template="names", now=now) == "None None <s> False 2025 February"
    assert chat.render(USER, template="names", variables={"bos_token": "B"}, now=now).startswith("None None B ")


def test_the_time_is_now(chat: ChatTemplate) -> None:
    assert str(datetime.now().year) in chat.render(USER, template="names")


def test_reasoning_has_many_names(chat: ChatTemplate) -> None:
    messages: list[dict[str, Any]] = [
        {"reasoning": "a"},
        {"thinking": "b", "reasoning": "c"},
        {"thinking": None},
        {"reasoning_content": "d"},
    ]
    assert chat.render(messages, template="reasoning") == "a,a;b,b;None,;d,d;"


def test_messages_that_are_no_json(chat: ChatTemplate) -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for content in (object(), b"bytes", deep, 10**5000):
        with pytest.raises(ChatError, match="values"):
            chat.render([{"role": "user", "content": content}])
    assert chat.render(USER) == "<s>[user]é😀\n"


def test_it_starts_again_after_close() -> None:
    template = ChatTemplate("{{ messages[0].role }}")
    template.start()
    template.close()
    assert template.render(USER) == "user"
    template.close()


def write_model(path: Path, templates: str | list[dict[str, str]]) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(["<s>", "</s>", "ab", "b", "a"])
    writer.add_token_types([3, 3, 1, 1, 1])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_chat_template(templates)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def test_named_templates_of_a_file(tmp_path: Path) -> None:
    """As gguf's writer stores what a model on the hub has."""
    path = tmp_path / "model.gguf"
    source = "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}"
    write_model(path, [{"name": "default", "template": source}, {"name": "tool_use", "template": "b"}])
    tokenizer = Tokenizer.from_gguf(path)
    assert tokenizer.chat_template == source
    assert tokenizer.chat_templates == {"default": source, "tool_use": "b"}
    encoder = ChatEncoder.of(tokenizer)
    assert encoder is not None
    assert encoder.encode([{"role": "user", "content": "ab"}]) == [0, 2, 1]
    assert encoder.encode([{"role": "user", "content": "ab"}], tools=TOOLS) == [3]
    assert encoder.encode([{"role": "user", "content": "b"}], tools=TOOLS, template="default") == [0, 3, 1]
    encoder.close()


def test_a_file_with_other_templates_only(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_model(path, [{"name": "tool_use", "template": "b"}])
    tokenizer = Tokenizer.from_gguf(path)
    assert tokenizer.chat_template is None
    template = ChatTemplate.of(tokenizer)
    assert template is not None
    with pytest.raises(ChatError, match="no chat template 'default'; it has tool_use"):
        template.render(USER)
    assert template.render(USER, tools=TOOLS) == "b"
    template.close()


def test_a_file_without_templates(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_model(path, [])
    assert ChatEncoder.of(Tokenizer.from_gguf(path)) is None


class Letters:
    """A vocabulary of characters."""

    def encode(self, text: str, add_special: bool = False, parse_special: bool = False) -> Sequence[int]:
        return [ord(character) for character in text]

    def control_texts(self) -> list[str]:
        return ["<end>"]


def test_everything_given_reaches_the_template_shielded() -> None:
    source = "{{ messages | tojson }}{{ tools | tojson }}{{ documents | tojson }}{{ mode }}"
    encoder = ChatEncoder(ChatTemplate(source), Letters())
    given: list[dict[str, Any]] = [{"<end>": "<end>"}]
    ids = encoder.encode(given, tools=given, documents=given, variables={"mode": "<end>"})
    text = "".join(map(chr, ids))
    assert text.count("<end>") == 7  # each encoded in two pieces: the vocabulary has never seen it whole
    pieces: list[str] = []
    encoder._tokenizer.encode = lambda text, **_: pieces.append(text) or []  # type: ignore[method-assign, func-returns-value]
    encoder.encode(given, tools=given, documents=given, variables={"mode": "<end>"})
    assert not any("<end>" in piece for piece in pieces)
    encoder.close()
