"""The tokenizer that a GGUF file describes: text to ids and back, and the stream of text from ids.

tokenizer = Tokenizer.from_gguf("model.gguf")
tokenizer.encode("Hello")       # [15043]
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ostinato import _tokenizer
from ostinato._tokenizer import StreamDecoder, TokenizerError
from ostinato.gguf.reader import GGUFFile, open_gguf
from ostinato.gguf.types_table import ValueType
from ostinato.gguf.values import ArrayView

if TYPE_CHECKING:
    import numpy as np

__all__ = ["StreamDecoder", "Tokenizer", "TokenizerError"]

T = TypeVar("T", int, bool, str)

_ABSENT = -1
_PREFIX = "tokenizer.ggml."


class Tokenizer:
    """Text to ids and back, for one model. Immutable: any number of threads may use it at once.

    Its answers are llama.cpp's, id for id, with these exceptions: bytes that are not UTF-8 are encoded as they are
    where the vocabulary can (so `decode_bytes` gives them back), decoding never drops spaces before punctuation,
    WordPiece (BERT) is Hugging Face's, and control tokens of RWKV and PLaMo 2 are not to be had by writing them out.
    """

    def __init__(self, native: _tokenizer.Tokenizer, chat_templates: Mapping[str, str] | None) -> None:
        self._native = native
        self._chat_templates = dict(chat_templates or {})
        self._stop_ids = frozenset(native.stop)

    @classmethod
    def from_gguf(cls, source: str | os.PathLike[str] | GGUFFile) -> Tokenizer:
        """The tokenizer of a GGUF file: its path, or the open file. A file with a vocabulary only will do.

        Raises GGUFError for a bad file, TokenizerError for metadata that make no tokenizer.
        """
        if isinstance(source, GGUFFile):
            return cls._from_file(source)
        with open_gguf(source) as file:
            return cls._from_file(file)

    @classmethod
    def _from_file(cls, file: GGUFFile) -> Tokenizer:
        try:
            return cls(_build(file), chat_templates(file))
        except TokenizerError as error:
            raise TokenizerError(f"{Path(file.path)}: {error}") from None

    def encode(self, text: str | bytes, add_special: bool = False, parse_special: bool = False) -> list[int]:
        """The ids of `text` (bytes: of UTF-8).

        `add_special`: with the BOS and EOS tokens that the file asks for. `parse_special`: control tokens written out
        in the text ("<|im_end|>") become those tokens; never do this with text from strangers.
        """
        return self._native.encode(_as_bytes(text), add_special, parse_special)

    def control_texts(self) -> list[str]:
        """The control tokens as they are written out ("<|im_end|>")."""
        ids = filter(self.is_control, range(self.vocab_size))
        return [self.token_bytes(id).decode(errors="replace") for id in ids]

    def encode_array(self, text: str | bytes, add_special: bool = False, parse_special: bool = False) -> np.ndarray:
        """The same as int32 [ids], without a Python object for each."""
        return self._native.encode_array(_as_bytes(text), add_special, parse_special)

    def decode(self, ids: Sequence[int], skip_special: bool = False, continued: bool = False) -> str:
        """The text of `ids`; bytes that are not UTF-8 become U+FFFD. TokenizerError for an id that is none.

        `skip_special` leaves out control tokens; otherwise their text is shown. Where encoding put a space before the
        text (SentencePiece vocabularies), the first token that is not left out loses it, unless the ids are
        `continued`: the continuation of earlier text, whose first space counts.
        """
        return self._native.decode(ids, skip_special, continued)

    def decode_bytes(self, ids: Sequence[int], skip_special: bool = False, continued: bool = False) -> bytes:
        """The bytes that `decode` reads as UTF-8."""
        return self._native.decode_bytes(ids, skip_special, continued)

    def stream(self, skip_special: bool = False, continued: bool = False) -> StreamDecoder:
        """A decoder that takes ids one by one: `push(id) -> str` gives what has become whole characters, `flush() ->
        str` what is left at the end. Together they give what `decode` gives for all ids."""
        return StreamDecoder(self._native, skip_special, continued)

    def token_bytes(self, id: int) -> bytes:
        """The bytes that one token stands for; a control token stands for its text."""
        return self._native.token_bytes(id)

    def is_control(self, id: int) -> bool:
        """Whether the token is no text: a control token, or the unknown one."""
        return self._native.is_control(id)

    @property
    def vocab_size(self) -> int:
        return self._native.vocab_size

    @property
    def stop_ids(self) -> frozenset[int]:
        """The tokens that end a generation: EOS, EOT, EOM, and those known by their text (<|im_end|>, </s>, ...)."""
        return self._stop_ids

    @property
    def bos_id(self) -> int | None:
        """Beginning of a sequence. None, here and below: the vocabulary has no such token."""
        return _id(self._native.bos)

    @property
    def eos_id(self) -> int | None:
        """End of a sequence."""
        return _id(self._native.eos)

    @property
    def eot_id(self) -> int | None:
        """End of a turn."""
        return _id(self._native.eot)

    @property
    def eom_id(self) -> int | None:
        """End of a message that a tool is to answer."""
        return _id(self._native.eom)

    @property
    def unknown_id(self) -> int | None:
        """What stands for text that no other token can."""
        return _id(self._native.unknown)

    @property
    def separator_id(self) -> int | None:
        """What ends a text of a BERT."""
        return _id(self._native.separator)

    @property
    def add_bos(self) -> bool:
        """Whether `add_special` puts BOS in front."""
        return self._native.add_bos

    @property
    def add_eos(self) -> bool:
        """Whether `add_special` puts EOS at the end."""
        return self._native.add_eos

    @property
    def add_space_prefix(self) -> bool:
        """Whether encoding puts a space before the text."""
        return self._native.add_space_prefix

    @property
    def chat_template(self) -> str | None:
        """The model's chat template, in Jinja: the one for all purposes."""
        return self._chat_templates.get("default")

    @property
    def chat_templates(self) -> Mapping[str, str]:
        """All chat templates by name: "default", and those for a purpose ("tool_use", "rag")."""
        return self._chat_templates


def _build(file: GGUFFile) -> _tokenizer.Tokenizer:
    tokens = _array(file, "tokens", ValueType.STRING)
    model = _scalar(file, _PREFIX + "model", str)
    if tokens is None or model is None:
        raise TokenizerError(f"no vocabulary: {_PREFIX}{'tokens' if model else 'model'} is missing")
    return _tokenizer.Tokenizer(
        model=model,
        pre=_scalar(file, _PREFIX + "pre", str) or "",
        name=_scalar(file, "general.name", str) or "",
        architecture=_scalar(file, "general.architecture", str) or "",
        tokens=tokens,
        merges=_array(file, "merges", ValueType.STRING),
        scores=_array(file, "scores", ValueType.FLOAT32),
        types=_array(file, "token_type", ValueType.INT32),
        charsmap=_array(file, "precompiled_charsmap", ValueType.INT8, ValueType.UINT8),
        bos=_token(file, "bos_token_id"),
        eos=_token(file, "eos_token_id"),
        eot=_token(file, "eot_token_id"),
        eom=_token(file, "eom_token_id"),
        unknown=_token(file, "unknown_token_id"),
        separator=_token(file, "seperator_token_id"),  # GGUF spells it so
        add_bos=_switch(file, "add_bos_token"),
        add_eos=_switch(file, "add_eos_token"),
        add_space_prefix=_switch(file, "add_space_prefix"),
        remove_extra_whitespaces=_switch(file, "remove_extra_whitespaces"),
        lowercase=_switch(file, "normalizer.lowercase"),
        strip_accents=_switch(file, "normalizer.strip_accents"),
    )


def _scalar(file: GGUFFile, key: str, kind: type[T]) -> T | None:
    value = file.metadata.get(key)
    if value is None:
        return None
    if type(value) is not kind:
        found = "text that is not UTF-8" if isinstance(value, bytes) else type(value).__name__
        raise TokenizerError(f"{key} is {found}, expected {kind.__name__}")
    return value


def chat_templates(file: GGUFFile) -> dict[str, str]:
    """The default is tokenizer.chat_template; tokenizer.chat_template.NAME are others (gguf's add_chat_template)."""
    key = "tokenizer.chat_template"
    keys = {name.removeprefix(key + "."): name for name in file.metadata if name.startswith(key + ".")}
    found = {name: _scalar(file, at, str) for name, at in {**keys, "default": key}.items()}
    return {name: source for name, source in found.items() if source is not None}


def _token(file: GGUFFile, key: str) -> int:
    id = _scalar(file, _PREFIX + key, int)
    if id is None:
        return _ABSENT
    if not 0 <= id < 2**32:
        raise TokenizerError(f"{_PREFIX}{key} is {id}, expected an id of the vocabulary")
    return id


def _switch(file: GGUFFile, key: str) -> int:
    value = _scalar(file, _PREFIX + key, bool)
    return _ABSENT if value is None else int(value)


def _array(file: GGUFFile, key: str, *types: ValueType) -> tuple[memoryview, int] | None:
    value = file.metadata.get(_PREFIX + key)
    if value is None:
        return None
    if not isinstance(value, ArrayView) or value.type not in types:
        expected = " or ".join(type.name for type in types)
        raise TokenizerError(f"{_PREFIX}{key} is {value!r}, expected an array of {expected}")
    return value.raw, value.count


def _as_bytes(text: str | bytes) -> bytes:
    """UTF-8; halves of surrogate pairs, which JSON lets through, stay what they are."""
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text


def _id(native: int) -> int | None:
    return None if native == _ABSENT else native
