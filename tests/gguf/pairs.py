"""Made-up BPE vocabularies in which cuts between words show, and texts to cut.

Every pair of characters is a merge, in random order: where a word ends decides which characters find a partner, so that
about every second cut changes the ids.
"""

from __future__ import annotations

import random
from pathlib import Path

from ostinato.gguf.writer import GGUFWriter
from tests.gguf.vocabularies import BYTE, CONTROL, NORMAL, USER_DEFINED

SPECIALS = {"<|end|>": CONTROL, "<s>": CONTROL, "<mask>": CONTROL, "[MASK]": CONTROL, "<|user|>": USER_DEFINED}
RAW = ("gemma4", "granite-embed-multi-311m", "sarvam-moe", "whitespace")  # merged without the alphabet of bytes

# What the expressions tell apart: parts of texts, and alphabets to draw from.
SNIPPETS = (
    "'s", "'LL", "'Ve", " 'd", "don't", "I'M", "'", "''", "'l", "'r", "</div>", "===", " hello", "World", "the",
    "ing", "def f(x):\n    return x**2\n", "for(int i=0;i<n;++i){", "http://a.b/c?d=e&f", "e\u0301",
    "👩‍👩‍👧🏳️‍🌈", "Él'S", "ÉCOLEs'Re", "<sentinel:12>", "<sentinel:>", "IMGIMGABZ", "IMGIMGABCDEZ", "IMGIMGZ",
    "iPhone", "HTTPServer", "a/b/c\n/", "x\r\n\r\n y", "\u0301\u0301a", " \u0301b", "12\u00b3456", "1234567",
    " 1234567", "  12", "\u06f1\u06f2\u06f3\u06f4", "中文ABC", "Aé中b", "「かな」カナ", "한국어 조합", "ㄱㄴㄷ",
    "ㄅㄆㄇ", "ภาษาไทย", "ខ្មែរ", "हिन्दी में", "العربية،۔", "“…”——", "a b c", "é b\u0301 ç", "\u3000\u3001",
    " \u2028 ", "▁", "ſ'ſ", "'K", "\u1c89", "\U0002ebf0", "<|end|>", " <mask>", "\t [MASK] x", "<|user|>\n ",
    "<s> <s>", "\ufa0e\u8c48", "\U00020000\U0002f800",
)  # fmt: skip
ALPHABETS = (
    "0123456789²½٣", " \t\n\r", "\u3000\xa0\u2028\x85 \n", "中文日本語テストかな한국어", "😀é e\u0301",
    "aAzZéßÉ", "aB'sS", "!?.,;:%$+<=>^`|~", "\u0301\u0903\u20dd", "Ⅷⅷ¼\u0661", "\x00\x1f\x7f\u200d\ufeff\ue000",
    "ΑαЖжԱաႠაᎠꭰ", "、。！？：；～‘’“”—", "/\n\r ",
)  # fmt: skip


def random_character(rng: random.Random) -> str:
    code = rng.randrange(0x110000 - 0x800) if rng.random() < 0.3 else rng.randrange(0x3400)
    return chr(code if code < 0xD800 else code + 0x800)  # no surrogates


def random_text(rng: random.Random) -> str:
    def part() -> str:
        match rng.randrange(5):
            case 0 | 1:
                return rng.choice(SNIPPETS)
            case 2:
                return "".join(random_character(rng) for _ in range(rng.randrange(1, 4)))
            case _:
                return "".join(rng.choices(rng.choice(ALPHABETS), k=rng.randrange(1, 8)))

    return "".join(part() + " " * (rng.random() < 0.3) for _ in range(rng.randrange(1, 16)))


def byte_alphabet() -> list[str]:
    """The characters that stand for the bytes 0 to 255 (OpenAI's encoder.py, bytes_to_unicode)."""
    printing = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(256, 512))
    return [chr(byte if byte in printing else next(others)) for byte in range(256)]


def _paired_bytes() -> list[str]:
    """Those of the snippets, which leaves some that no merge has."""
    alphabet = byte_alphabet()
    return [alphabet[byte] for byte in sorted(set("".join(SNIPPETS).encode()))]


def _paired_characters() -> list[str]:
    return sorted(set("".join(SNIPPETS).replace(" ", "▁")) - {"\n"})[::2]


def write_pairs(path: Path, pre: str, model: str = "gpt2") -> Path:
    """A GGUF file with such a vocabulary and nothing else."""
    rng = random.Random(pre)
    raw = pre in RAW
    single = [f"<0x{byte:02X}>" for byte in range(256)] if raw else byte_alphabet()
    paired = _paired_characters() if raw else _paired_bytes()
    more = ["\n" * count for count in range(1, 40)] + paired if raw else []
    pairs = [left + right for left in paired for right in paired]
    rng.shuffle(pairs)
    tokens = [*SPECIALS, *single, *more, *pairs]
    types = [*SPECIALS.values(), *[BYTE if raw else NORMAL] * 256, *[NORMAL] * (len(more) + len(pairs))]
    with GGUFWriter(path) as writer:
        writer.add("general.architecture", "llama")
        writer.add("tokenizer.ggml.model", model)
        writer.add("tokenizer.ggml.pre", pre)
        writer.add("tokenizer.ggml.tokens", tokens)
        writer.add("tokenizer.ggml.token_type", types)
        writer.add("tokenizer.ggml.merges", [f"{pair[0]} {pair[1]}" for pair in pairs])
        writer.add("tokenizer.ggml.bos_token_id", 1)
        writer.add("tokenizer.ggml.eos_token_id", 0)
    return path
