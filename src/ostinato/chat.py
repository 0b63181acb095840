"""Chat templates: messages -> the text a model was trained to continue -> token ids.

Templates come from strangers, in model files: `templates/` runs them, confined. What they are given is what
`transformers` gives them, so that a prompt here is the prompt there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from ostinato.marks import Marks, encode_shielded
from ostinato.templates.renderer import Renderer, RenderError

if TYPE_CHECKING:
    from ostinato.gguf.tokenizer import Tokenizer

Message = Mapping[str, Any]  # role, content, perhaps tool_calls, reasoning_content, ...: values of JSON
Schema = Mapping[str, Any]  # a tool or a document
NOTHING: Mapping[str, Any] = MappingProxyType({})

DEFAULT, TOOL_USE = "default", "tool_use"  # names of templates that have a meaning; others are asked for
REASONING = ("reasoning_content", "thinking", "reasoning")  # names that a message's reasoning goes by


class ChatError(ValueError):
    """A template that is absent, broken, refuses these messages, or runs away; the text says which."""


class ChatTemplate:
    """One model's templates. Rendering is thread-safe, one at a time; the worker starts on first use (or `start`)."""

    def __init__(
        self, sources: str | Mapping[str, str], tokens: Mapping[str, str] = NOTHING, renderer: Renderer | None = None
    ) -> None:
        """`sources` by name, or the one there is. `tokens`: special tokens as templates name them (bos_token, ...).
        `renderer`: one that was started with these sources before."""
        sources = {DEFAULT: sources} if isinstance(sources, str) else sources
        self.names = sorted(sources)
        self._tokens = dict(tokens)
        self._renderer = renderer or Renderer(sources)

    @classmethod
    def of(cls, tokenizer: Tokenizer, renderer: Renderer | None = None) -> ChatTemplate | None:
        """The templates that came with a tokenizer; None where there is none. `renderer`: as for `ChatTemplate`."""
        if not tokenizer.chat_templates:
            return None
        ids = {"bos_token": tokenizer.bos_id, "eos_token": tokenizer.eos_id, "unk_token": tokenizer.unknown_id}
        tokens = {
            name: tokenizer.token_bytes(id).decode(errors="replace") for name, id in ids.items() if id is not None
        }
        return cls(tokenizer.chat_templates, tokens, renderer)

    def start(self) -> None:
        """Starts the worker without waiting for it."""
        self._renderer.start()

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Schema] | None = None,
        documents: Sequence[Schema] | None = None,
        variables: Mapping[str, Any] = NOTHING,
        template: str | None = None,
        add_generation_prompt: bool = True,
        now: datetime | None = None,
    ) -> str:
        """The prompt. Raises ChatError.

        `tools` and `documents` as OpenAI and Cohere write them; `variables` are a template's own (enable_thinking,
        ...); `template` is a name (without one: "tool_use" where there are tools and it exists, else "default").
        """
        given = {
            "messages": [_with_reasoning(message) for message in messages],
            "tools": None if tools is None else list(tools),
            "documents": None if documents is None else list(documents),
            "add_generation_prompt": add_generation_prompt,
        }
        if taken := sorted(given.keys() & variables.keys()):
            raise ChatError(f"a template's variable cannot be called {taken[0]!r}")
        question = {
            "template": self._choose(template, tools is not None),
            "now": (now or datetime.now()).isoformat(),
            "variables": {**self._tokens, **variables, **given},
        }
        try:
            return self._renderer.render(question)
        except RenderError as error:
            raise ChatError(f"the model's chat template: {error}") from error

    def close(self) -> None:
        """Ends the worker."""
        self._renderer.close()

    def _choose(self, name: str | None, with_tools: bool) -> str:
        if name is None:
            name = TOOL_USE if with_tools and TOOL_USE in self.names else DEFAULT
        if name not in self.names:
            raise ChatError(f"the model has no chat template {name!r}; it has {', '.join(self.names)}")
        return name


class Vocabulary(Protocol):
    """What encoding a prompt needs of a tokenizer."""

    def encode(self, text: str, add_special: bool = False, parse_special: bool = False) -> Sequence[int]: ...

    def control_texts(self) -> list[str]: ...


class ChatEncoder:
    """Messages -> token ids: a template and its tokenizer. Marks inside messages stay text (marks.py)."""

    def __init__(self, template: ChatTemplate, tokenizer: Vocabulary) -> None:
        self._template, self._tokenizer = template, tokenizer

    @classmethod
    def of(cls, tokenizer: Tokenizer, renderer: Renderer | None = None) -> ChatEncoder | None:
        """For the templates that came with a tokenizer; None where there is none. `renderer`: as for `ChatTemplate`."""
        template = ChatTemplate.of(tokenizer, renderer)
        return None if template is None else cls(template, tokenizer)

    def start(self) -> None:
        """Starts the template's worker without waiting for it."""
        self._template.start()

    def encode(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Schema] | None = None,
        documents: Sequence[Schema] | None = None,
        variables: Mapping[str, Any] = NOTHING,
        template: str | None = None,
        add_generation_prompt: bool = True,
    ) -> list[int]:
        """Ids of the prompt; ChatTemplate.render says what may be given. Raises ChatError."""
        text = self._template.render(
            self._marks.shield_messages(messages),
            tools=self._marks.shield_deep(tools),
            documents=self._marks.shield_deep(documents),
            variables=self._marks.shield_deep(variables),
            template=template,
            add_generation_prompt=add_generation_prompt,
        )
        return encode_shielded(text, lambda piece: self._tokenizer.encode(piece, parse_special=True))

    def close(self) -> None:
        """Ends the template's worker."""
        self._template.close()

    @cached_property
    def _marks(self) -> Marks:
        return Marks(self._tokenizer.control_texts())


def _with_reasoning(message: Message) -> dict[str, Any]:
    """The message, its reasoning under the name that templates read and under the one that gpt-oss's reads.

    As `transformers` does it (utils/chat_template_utils.py, _alias_reasoning_fields).
    """
    reasoning = next((message[name] for name in REASONING if message.get(name) is not None), None)
    if reasoning is None:
        return dict(message)
    return {"thinking": reasoning, **message, "reasoning_content": reasoning}
