"""Vocabularies for tests: the real ones made elsewhere, and small ones built straight through the native module."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ostinato import _tokenizer
from ostinato.gguf.tokenizer import Tokenizer
from tests.support import find_data_dir

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6


def vocab_path(name: str) -> Path:
    """The file of a real vocabulary; skips the test where it is absent."""
    folder = find_data_dir()
    path = folder / "vocab" / f"ggml-vocab-{name}.gguf" if folder else None
    if path is None or not path.is_file():
        pytest.skip(f"test data absent: vocab/ggml-vocab-{name}.gguf")
    return path


def pack_strings(strings: Sequence[str | bytes]) -> tuple[bytes, int]:
    """The run of length-prefixed strings of a GGUF array, and their count."""
    raw = [string.encode() if isinstance(string, str) else string for string in strings]
    return b"".join(struct.pack("<Q", len(string)) + string for string in raw), len(raw)


def pack(format: str, values: Sequence[float]) -> tuple[bytes, int]:
    """An array of 4-byte numbers, and their count."""
    return struct.pack(f"<{len(values)}{format}", *values), len(values)


def native(
    tokens: Sequence[str | bytes],
    merges: Sequence[str | bytes] | None = None,
    scores: Sequence[float] | None = None,
    types: Sequence[int] | None = None,
    **metadata: Any,
) -> _tokenizer.Tokenizer:
    """A native tokenizer; other metadata as in `_tokenizer.Tokenizer`, the model gpt2 unless it is named."""
    defaults = {"model": "gpt2", "pre": "gpt-2", "name": ""}
    return _tokenizer.Tokenizer(
        tokens=pack_strings(tokens),
        merges=None if merges is None else pack_strings(merges),
        scores=None if scores is None else pack("f", scores),
        types=None if types is None else pack("i", types),
        **(defaults | metadata),
    )


def small_bpe(tokens: Sequence[str | bytes], merges: Sequence[str | bytes], **metadata: Any) -> Tokenizer:
    return Tokenizer(native(tokens, merges=merges, **metadata), None)


def small_spm(tokens: dict[str, float], types: dict[str, int] | None = None, **metadata: Any) -> Tokenizer:
    """A SentencePiece tokenizer of <unk>, <s>, </s>, all bytes, and `tokens` with their scores."""
    specials = {"<unk>": UNKNOWN, "<s>": CONTROL, "</s>": CONTROL}
    kinds = specials | {f"<0x{byte:02X}>": BYTE for byte in range(256)} | dict.fromkeys(tokens, NORMAL) | (types or {})
    scores = [tokens.get(text, 0.0) for text in kinds]
    return Tokenizer(
        native(list(kinds), model="llama", pre="", scores=scores, types=list(kinds.values()), **metadata), None
    )
