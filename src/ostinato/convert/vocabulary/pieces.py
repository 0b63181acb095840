"""A vocabulary in GGUF's terms: tokens by id with their types, and how text is cut into them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from ostinato.convert.errors import ConvertError
from ostinato.gguf.encode import Addable
from ostinato.gguf.types_table import ValueType
from ostinato.gguf.values import ArrayView

UNUSED_SCORE = -10000.0  # of ids that no token has
ADDED_SCORE = -1000.0  # of tokens that were added to a vocabulary with scores
SPACE = "\u2581"  # how vocabularies of whole text write a space


class TokenType(IntEnum):
    """llama.h, enum llama_token_type."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass
class Vocabulary:
    """`model` and `pre` as `tokenizer.ggml.*` has them; token `i` has texts[i], types[i] and, if any, scores[i].

    `extra` are further keys, without the prefix.
    """

    model: str
    pre: str
    texts: list[str]
    types: list[TokenType]
    scores: list[float] | None = None
    merges: list[str] | None = None
    extra: dict[str, Addable] = field(default_factory=dict)

    def metadata(self) -> dict[str, Addable]:
        """All keys of `tokenizer.ggml`, without the prefix."""
        found: dict[str, Addable] = {"model": self.model, "pre": self.pre, "tokens": self.texts}
        if self.scores is not None:
            found["scores"] = self.scores
        found["token_type"] = [int(type) for type in self.types]
        if self.merges is not None:
            found["merges"] = self.merges
        return {**found, **self.extra}

    def set(self, id: int, text: str, type: TokenType, score: float = ADDED_SCORE) -> None:
        """Token `id`, whatever it was before."""
        self.texts[id], self.types[id] = text, type
        if self.scores is not None:
            self.scores[id] = score


def blank(size: int, model: str, pre: str, scored: bool) -> Vocabulary:
    """A vocabulary of ids that no token has yet; such rows of the embedding are padding."""
    texts = [f"[PAD{id}]" for id in range(size)]
    return Vocabulary(model, pre, texts, [TokenType.UNUSED] * size, [UNUSED_SCORE] * size if scored else None)


def byte_array(raw: bytes) -> ArrayView:
    """Bytes as an array of the metadata."""
    return ArrayView(ValueType.UINT8, len(raw), 0, memoryview(raw))


def check_id(id: object, size: int, what: str) -> int:
    """An id within the embedding. ConvertError otherwise."""
    if type(id) is not int or not 0 <= id < size:
        raise ConvertError(f"{what} has the id {id!r:.40}, but the embedding has {size} rows")
    return id


def looks_special(text: str) -> bool:
    """Added tokens that some checkpoints forgot to mark as special (llama.cpp goes by the same names)."""
    brackets = (("<|", "|>"), ("<｜", "｜>"), ("<unused", ">"))
    known = ("<pad>", "<mask>", "<2mass>", "[@BOS@]")
    return text in known or any(text.startswith(a) and text.endswith(b) for a, b in brackets)


def add_tokens(vocabulary: Vocabulary, added: list[Mapping[str, object]], where: str) -> None:
    """Added tokens, by id. Those behind the embedding's end are left out: no text can mean them."""
    for token in added:
        id, text = token.get("id"), token.get("content")
        if not isinstance(text, str) or type(id) is not int or id < 0:
            raise ConvertError(f"{where}: an added token {token!r:.80} without id and content")
        if id >= len(vocabulary.texts):
            continue
        special = bool(token.get("special")) or looks_special(text)
        type_ = TokenType.CONTROL if special else TokenType.USER_DEFINED
        if vocabulary.types[id] is TokenType.UNKNOWN:
            type_ = TokenType.UNKNOWN
        vocabulary.set(id, text if special else text.replace(SPACE, " "), type_)
