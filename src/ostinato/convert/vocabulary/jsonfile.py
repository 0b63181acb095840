"""tokenizer.json (Hugging Face's tokenizers) -> Vocabulary."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from ostinato.convert.errors import ConvertError
from ostinato.convert.vocabulary.pieces import (
    SPACE,
    TokenType,
    Vocabulary,
    add_tokens,
    blank,
    byte_array,
    check_id,
)
from ostinato.convert.vocabulary.pretokenizers import pretokenizer_name

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def read_definition(definition: Mapping[str, Any], size: int, where: str) -> Vocabulary:
    """The vocabulary, padded to `size` rows of the embedding. ConvertError for a kind that GGUF has no name for."""
    model = definition.get("model")
    if not isinstance(model, dict):
        raise ConvertError(f"{where}: no 'model'")
    match model.get("type", "BPE" if "merges" in model else None):
        case "BPE" if model.get("byte_fallback"):
            vocabulary = _whole_text(definition, model, size, where)
        case "BPE":
            vocabulary = _byte_level(definition, model, size, where)
        case "Unigram":
            vocabulary = _unigram(definition, model, size, where)
        case "WordPiece":
            vocabulary = _word_piece(definition, model, size, where)
        case other:
            raise ConvertError(f"{where}: a tokenizer of type {other!r:.40}; known: BPE, Unigram, WordPiece")
    return vocabulary


def _byte_level(definition: Mapping[str, Any], model: Mapping[str, Any], size: int, where: str) -> Vocabulary:
    """GPT-2's: words cut by patterns, their bytes written as characters, then merged."""
    vocabulary = blank(size, "gpt2", pretokenizer_name(definition, where), scored=False)
    for text, id in _ids(model, where).items():
        vocabulary.set(check_id(id, size, f"{where}: token {text!r:.40}"), text, TokenType.NORMAL)
    vocabulary.merges = [" ".join(part.replace(" ", "Ġ") for part in pair) for pair in _merges(model, where)]
    add_tokens(vocabulary, _added(definition), where)
    return vocabulary


def _whole_text(definition: Mapping[str, Any], model: Mapping[str, Any], size: int, where: str) -> Vocabulary:
    """SentencePiece's BPE as `transformers` writes it: whole text is merged, unknown characters become bytes. GGUF
    wants a score for each token: the earlier a merge makes it, the higher."""
    vocabulary = blank(size, "llama", "default", scored=True)
    ranks: dict[str, int] = {}
    for left, right in _merges(model, where):
        ranks.setdefault(left + right, len(ranks))
    last = float(len(ranks))
    for text, id in _ids(model, where).items():
        type = TokenType.BYTE if _BYTE.fullmatch(text) else TokenType.NORMAL
        type = TokenType.UNKNOWN if text == model.get("unk_token") else type
        score = -float(ranks.get(text, last)) if type is TokenType.NORMAL else 0.0
        vocabulary.set(check_id(id, size, f"{where}: token {text!r:.40}"), text, type, score)
    add_tokens(vocabulary, _added(definition), where)
    vocabulary.extra["add_space_prefix"] = _prepends_space(definition)
    return vocabulary


def _unigram(definition: Mapping[str, Any], model: Mapping[str, Any], size: int, where: str) -> Vocabulary:
    """SentencePiece's unigram model, as T5 and XLM-RoBERTa have it."""
    vocabulary = blank(size, "t5", "default", scored=True)
    entries = model.get("vocab")
    if not isinstance(entries, list) or not all(_is_scored(entry) for entry in entries):
        raise ConvertError(f"{where}: 'vocab' of a Unigram model must be a list of texts and scores")
    for id, (text, score) in enumerate(entries):
        type = TokenType.BYTE if _BYTE.fullmatch(text) else TokenType.NORMAL
        type = TokenType.UNKNOWN if id == model.get("unk_id") else type
        vocabulary.set(check_id(id, size, f"{where}: token {text!r:.40}"), text, type, float(score))
    add_tokens(vocabulary, _added(definition), where)
    vocabulary.extra["add_space_prefix"] = _prepends_space(definition)
    vocabulary.extra["remove_extra_whitespaces"] = True
    for step in _steps(definition.get("normalizer"), "normalizers"):
        if step.get("type") == "Precompiled" and step.get("precompiled_charsmap"):
            vocabulary.extra["precompiled_charsmap"] = byte_array(_decoded(step["precompiled_charsmap"], where))
    return vocabulary


def _word_piece(definition: Mapping[str, Any], model: Mapping[str, Any], size: int, where: str) -> Vocabulary:
    """BERT's. GGUF marks the beginning of words instead of their continuation."""
    prefix = model.get("continuing_subword_prefix", "##")
    vocabulary = blank(size, "bert", "default", scored=False)
    ids = _ids(model, where)
    added = {token.get("content") for token in _added(definition)}
    for text, id in ids.items():
        stored = text.removeprefix(prefix) if text.startswith(prefix) else SPACE + text
        stored = text if text in added else stored
        vocabulary.set(check_id(id, size, f"{where}: token {text!r:.40}"), stored, TokenType.NORMAL)
    add_tokens(vocabulary, _added(definition), where)
    for step in _steps(definition.get("normalizer"), "normalizers"):
        if step.get("type") == "BertNormalizer":
            for key in ("lowercase", "strip_accents"):
                if isinstance(step.get(key), bool):
                    vocabulary.extra[f"normalizer.{key}"] = step[key]
    return vocabulary


def _ids(model: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    vocab = model.get("vocab")
    if not isinstance(vocab, dict):
        raise ConvertError(f"{where}: 'vocab' must be an object of texts and ids")
    return vocab


def _merges(model: Mapping[str, Any], where: str) -> list[tuple[str, str]]:
    """Pairs, from either form: "a b" or ["a", "b"]."""
    pairs = []
    for merge in model.get("merges") or ():
        parts = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(part, str) for part in parts):
            raise ConvertError(f"{where}: merge {merge!r:.60} is not a pair of texts")
        pairs.append((parts[0], parts[1]))
    return pairs


def _added(definition: Mapping[str, Any]) -> list[Mapping[str, object]]:
    added = definition.get("added_tokens") or []
    return [token for token in added if isinstance(token, dict)]


def _steps(part: Any, inner: str) -> list[dict[str, Any]]:
    """A step, or those of a sequence, in a flat list."""
    if not isinstance(part, dict):
        return []
    if part.get("type") != "Sequence":
        return [part]
    return [step for item in part.get(inner) or () for step in _steps(item, inner)]


def _prepends_space(definition: Mapping[str, Any]) -> bool:
    """Whether text gets a space in front: by a normalizer, or by Metaspace in one of its two forms."""
    if any(step.get("type") == "Prepend" for step in _steps(definition.get("normalizer"), "normalizers")):
        return True
    for step in _steps(definition.get("pre_tokenizer"), "pretokenizers"):
        if step.get("type") == "Metaspace":
            return step.get("prepend_scheme", "always" if step.get("add_prefix_space", True) else "never") != "never"
    return False


def _is_scored(entry: Any) -> bool:
    return (
        isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str) and isinstance(entry[1], int | float)
    )


def _decoded(text: Any, where: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise ConvertError(f"{where}: 'precompiled_charsmap' is not base64") from None
