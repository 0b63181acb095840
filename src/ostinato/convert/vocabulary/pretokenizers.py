"""How a tokenizer.json cuts text into words -> the name that GGUF has for it (`tokenizer.ggml.pre`).

A pre-tokenizer is told by its patterns, in order. An unknown one is an error: another would cut words differently.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ostinato.convert.errors import ConvertError

_TAIL = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_SIGNS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_ENDINGS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"


def _cased(endings: str, digits: str) -> str:
    """Words split where lower case meets upper case."""
    first = r"[^\r\n\p{L}\p{N}]?"
    words = f"{first}{_UPPER}*{_LOWER}+{endings}|{first}{_UPPER}+{_LOWER}*{endings}"
    return words + f"|{digits}| ?[^\\s\\p{{L}}\\p{{N}}]+[\\r\\n/]*|{_TAIL}"


_GPT2 = "ByteLevel"  # whose own pattern is GPT-2's
_DIGIT, _DIGITS = r"\p{N}", r"\p{N}+"
_LLAMA3 = f"{_ENDINGS}|{_WORD}|\\p{{N}}{{1,3}}|{_SIGNS}|{_TAIL}"
_QWEN2 = f"{_ENDINGS}|{_WORD}|\\p{{N}}|{_SIGNS}|{_TAIL}"
_QWEN35 = (
    _ENDINGS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|" + _TAIL
)  # fmt: skip
_GPT4O = _cased(_ENDINGS + "?", r"\p{N}{1,3}")
_TEKKEN = _cased("", r"\p{N}")
_CJK = "[一-龥\u0800-一가-\ud7ff]+"
_DEEPSEEK3 = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|"
    + _TAIL
).replace('\\"', '"')
_BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"
_SEED_CODER = _ENDINGS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"
_EXAONE_MOE = (
    _ENDINGS + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|"
    r"\s+(?!\S)|\s+"
)
_BAILING = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
_MINICPM5 = f"{_ENDINGS}|{_WORD}|\\p{{N}}+|{_SIGNS}|{_TAIL}"
_THOUSANDS = r"\d{1,3}(?=(?:\d{3})*\b)"
_UFAKZEKA = f"{_WORD}|\\p{{N}}|{_SIGNS}|{_TAIL}"

# Patterns in order -> name where merges apply to whole words too, and where a whole word that is a token stays one
# (`ignore_merges`). Names that mean the same here are one: "gpt-2" is also mpt, olmo, jais, ...
_NAMES: Mapping[tuple[str, ...], tuple[str | None, str | None]] = {
    (_GPT2,): ("gpt-2", None),
    (_DIGIT, _GPT2): ("starcoder", None),
    ("Punctuation:Contiguous", _GPT2, _DIGITS, "[0-9][0-9][0-9]"): ("falcon", None),
    (_LLAMA3,): ("smaug-bpe", "llama-bpe"),
    (_QWEN2,): ("qwen2", None),
    (_QWEN35,): ("qwen35", None),
    (_GPT4O,): ("gpt-4o", "gpt-4o"),
    (_TEKKEN,): (None, "tekken"),
    (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _CJK, _DIGIT): ("deepseek-coder", None),
    (r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", _DEEPSEEK3): ("deepseek-v3", None),
    (_BLOOM,): ("bloom", None),
    (_BLOOM, _DIGIT): ("viking", None),
    (_SEED_CODER,): ("seed-coder", None),
    (_EXAONE_MOE,): ("exaone-moe", None),
    (_BAILING,): ("bailingmoe", None),
    (r"\p{N}{1,3}", _MINICPM5): (None, "minicpm5"),
    (_THOUSANDS, _GPT4O): ("tiny_aya", None),
    (_UFAKZEKA,): ("ufakzeka", None),
}
# DeepSeek LLM lists its letters one by one; its first and third patterns tell it well enough.
_DEEPSEEK_LLM = (r"[\r\n]", r"\s?[A-Za-zµÀ-ÖØ-öø-ƺ", r"\s?[!-/:-~！-／：-～‘-‟", r"\s+$", _CJK, _DIGITS)
_SHOWN = 200  # characters of an unknown pattern


def pretokenizer_name(definition: Mapping[str, Any], where: str) -> str:
    """GGUF's name for the pre-tokenizer of a tokenizer.json. ConvertError, naming what it found, for an unknown one."""
    found = tuple(_patterns(definition.get("pre_tokenizer")))
    ignore_merges = bool(definition.get("model", {}).get("ignore_merges", False))
    if len(found) == len(_DEEPSEEK_LLM) and all(map(str.startswith, found, _DEEPSEEK_LLM)):
        return "deepseek-llm"
    plain, ignoring = _NAMES.get(found, (None, None))
    name = ignoring if ignore_merges else plain
    if name is None:
        merges = " that ignores merges" if ignore_merges else ""
        shown = " then ".join(found) or "none"
        raise ConvertError(f"{where}: an unknown pre-tokenizer{merges}: {shown:.{_SHOWN}}")
    return name


def _patterns(part: Any) -> Iterator[str]:
    """What a pre-tokenizer does, step by step."""
    if not isinstance(part, dict):
        return
    match part.get("type"):
        case "Sequence":
            inner = part.get("pretokenizers")
            for step in inner if isinstance(inner, list) else ():
                yield from _patterns(step)
        case "Split":
            yield _split(part)
        case "ByteLevel":
            if part.get("use_regex", True):
                yield _GPT2
        case "Digits":
            yield _DIGIT if part.get("individual_digits") else _DIGITS
        case "Punctuation":
            yield f"Punctuation:{part.get('behavior')}"
        case other:
            yield str(other)


def _split(part: Mapping[str, Any]) -> str:
    """Matches become words; so does what lies between them, unless it is removed (where a pattern covers all text, it
    makes no difference)."""
    pattern = part.get("pattern")
    if not isinstance(pattern, dict) or len(pattern) != 1:
        return "Split"
    ((kind, text),) = pattern.items()
    whole = part.get("behavior") == "Isolated" or (part.get("behavior") == "Removed" and part.get("invert"))
    text = str(text) if kind == "Regex" else re.escape(str(text))
    return text if whole else f"{part.get('behavior')}:{text}"
