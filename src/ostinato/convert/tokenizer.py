"""A checkpoint's tokenizer as metadata: vocabulary, special tokens, chat templates.

Sources, the first that is there: tokenizer.model (a SentencePiece BPE), tokenizer.json; tokenizer_config.json,
config.json and generation_config.json name special tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ostinato.convert.config import Config
from ostinato.convert.errors import ConvertError
from ostinato.convert.jsonfile import read_bytes, read_json
from ostinato.convert.vocabulary.jsonfile import read_definition
from ostinato.convert.vocabulary.pieces import Vocabulary, add_tokens
from ostinato.convert.vocabulary.sentencepiece import read_model
from ostinato.gguf.encode import Addable

_PREFIX = "tokenizer.ggml."
# Kind of special token in Hugging Face's files -> key ("seperator" is the format's spelling).
_SPECIAL = {
    "bos": "bos_token_id", "eos": "eos_token_id", "unk": "unknown_token_id", "sep": "seperator_token_id",
    "pad": "padding_token_id", "cls": "cls_token_id", "mask": "mask_token_id",
}  # fmt: skip
_NOT_IN_A_NAME = re.compile(r"[^0-9A-Za-z_]")
_MAX_TEMPLATE = 1 << 24  # bytes of a chat template


def tokenizer_metadata(folder: Path, config: Config, size: int) -> dict[str, Addable]:
    """All `tokenizer.*` keys; `size` is the number of rows of the embedding. ConvertError where the folder has no
    tokenizer, or one that GGUF cannot express."""
    settings = _optional(folder / "tokenizer_config.json")
    vocabulary, definition, named = _vocabulary(folder, settings, size)
    found = vocabulary.metadata()
    texts = {text: id for id, text in reversed(list(enumerate(vocabulary.texts)))}
    around = _template_of(definition.get("post_processor"))
    ids = {**_ids_of_configs(folder, config), **named, **_ids_of_settings(settings, texts)}
    ids = {kind: id for kind, id in ids.items() if 0 <= id < size}
    for kind, other, text in zip(("bos", "eos"), ("cls", "sep"), around or ("", ""), strict=True):
        if kind not in ids and (stand_in := ids.get(other, texts.get(text))) is not None:
            ids[kind] = stand_in
    found |= {_SPECIAL[kind]: id for kind, id in ids.items()}
    found |= _added_around(around and (texts.get(around[0]), texts.get(around[1])), settings, ids, vocabulary.model)
    return {_PREFIX + key: value for key, value in found.items()} | _templates(folder, settings)


def _vocabulary(
    folder: Path, settings: Mapping[str, Any], size: int
) -> tuple[Vocabulary, Mapping[str, Any], dict[str, int]]:
    """The vocabulary, tokenizer.json (empty where it was not used), and ids that the vocabulary itself names."""
    model, definition = folder / "tokenizer.model", folder / "tokenizer.json"
    if model.exists():
        vocabulary, special = read_model(read_bytes(model), size, str(model))
        if vocabulary.model == "llama" or not definition.exists():
            add_tokens(vocabulary, _added_in_configs(folder, settings), str(folder))
            return (
                vocabulary,
                {},
                {"unk": special.unknown, "bos": special.bos, "eos": special.eos, "pad": special.padding},
            )
    if not definition.exists():
        raise ConvertError(
            f"{folder}: neither tokenizer.json nor tokenizer.model is there (--no-tokenizer does without)"
        )
    whole = read_json(definition)
    return read_definition(whole, size, str(definition)), whole, {}


def _added_in_configs(folder: Path, settings: Mapping[str, Any]) -> list[Mapping[str, object]]:
    """Tokens added to a SentencePiece model: added_tokens.json, then tokenizer_config.json, which knows more."""
    older = _optional(folder / "added_tokens.json")
    tokens: list[Mapping[str, object]] = [{"id": id, "content": text} for text, id in older.items()]
    decoder = settings.get("added_tokens_decoder")
    for id, token in decoder.items() if isinstance(decoder, dict) else ():
        if not id.isdecimal() or len(id) > 9 or not isinstance(token, dict):
            raise ConvertError(
                f"{folder / 'tokenizer_config.json'}: a broken entry {id!r:.20} in 'added_tokens_decoder'"
            )
        tokens.append({**token, "id": int(id)})
    return tokens


def _ids_of_settings(settings: Mapping[str, Any], texts: Mapping[str, int]) -> dict[str, int]:
    """Special tokens that tokenizer_config.json names by their text."""
    found = {}
    for kind in _SPECIAL:
        entry = settings.get(f"{kind}_token")
        text = entry.get("content") if isinstance(entry, dict) else entry
        if isinstance(text, str) and text in texts:
            found[kind] = texts[text]
    return found


def _ids_of_configs(folder: Path, config: Config) -> dict[str, int]:
    """Special ids of config.json and generation_config.json; the first, where there are several."""
    found = {}
    for source in (Config(_optional(folder / "generation_config.json")), config):
        for kind in _SPECIAL:
            value = source.get(f"{kind}_token_id")
            value = value[0] if isinstance(value, list) and value else value
            if type(value) is int:
                found[kind] = value
    return found


def _added_around(
    around: tuple[int | None, int | None] | None, settings: Mapping[str, Any], ids: Mapping[str, int], model: str
) -> dict[str, Addable]:
    """Whether text is put between BOS and EOS: what the post-processor does (`around`, the ids before and after), else
    what the settings say, else what such models do (SentencePiece: BOS, T5: EOS, BERT: both, byte-level: nothing)."""
    if around is not None:
        first, last = around
        return {
            "add_bos_token": first is not None and first == ids.get("bos"),
            "add_eos_token": last is not None and last == ids.get("eos"),
        }
    usual = {"bos": model in ("llama", "bert"), "eos": model in ("t5", "bert")}
    found: dict[str, Addable] = {}
    for kind, default in usual.items():
        stated = settings.get(f"add_{kind}_token")
        found[f"add_{kind}_token"] = kind in ids and bool(default if stated is None else stated)
    return found


def _template_of(processor: Any) -> tuple[str, str] | None:
    """The special tokens that a post-processor puts before and after a text ("" for none); None: it says nothing."""
    for step in _processors(processor):
        if step.get("type") == "TemplateProcessing":
            single = step.get("single")
            pieces = [piece for piece in single if isinstance(piece, dict)] if isinstance(single, list) else []
            if pieces:
                first, last = (piece.get("SpecialToken") for piece in (pieces[0], pieces[-1]))
                return _name(first), _name(last)
        if step.get("type") in ("RobertaProcessing", "BertProcessing"):
            return _name(step.get("cls")), _name(step.get("sep"))
    return None


def _name(entry: Any) -> str:
    """The text of a special token, in either form: {"id": text, ...} or [text, id]."""
    text = entry.get("id") if isinstance(entry, dict) else entry[0] if isinstance(entry, list) and entry else ""
    return text if isinstance(text, str) else ""


def _processors(processor: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(processor, dict):
        inner = processor.get("processors")
        for step in inner if isinstance(inner, list) else [processor]:
            if isinstance(step, dict):
                yield step


def _templates(folder: Path, settings: Mapping[str, Any]) -> dict[str, Addable]:
    """The chat template, and further ones by name. Files of their own come before tokenizer_config.json."""
    named = _named(settings.get("chat_template"))
    older = folder / "chat_template.json"
    if not named and older.exists():
        named = _named(read_json(older).get("chat_template"))
    if (folder / "chat_template.jinja").exists():
        named["default"] = _text(folder / "chat_template.jinja")
    for path in sorted((folder / "additional_chat_templates").glob("*.jinja")):
        named[path.stem] = _text(path)
    found: dict[str, Addable] = {}
    if "default" in named:
        found["tokenizer.chat_template"] = named.pop("default")
    texts = {_NOT_IN_A_NAME.sub("_", name): text for name, text in named.items()}
    if texts:
        found["tokenizer.chat_templates"] = sorted(texts)
    return found | {f"tokenizer.chat_template.{name}": text for name, text in texts.items()}


def _named(value: Any) -> dict[str, str]:
    """Templates by name, from one text or a list of {name, template}."""
    if isinstance(value, str):
        return {"default": value}
    entries = [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
    return {
        str(entry.get("name")): str(entry["template"]) for entry in entries if isinstance(entry.get("template"), str)
    }


def _text(path: Path) -> str:
    try:
        return read_bytes(path, _MAX_TEMPLATE).decode()
    except UnicodeDecodeError:
        raise ConvertError(f"{path}: not UTF-8") from None


def _optional(path: Path) -> Mapping[str, Any]:
    return read_json(path) if path.exists() else {}
