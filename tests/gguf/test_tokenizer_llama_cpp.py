"""The tokenizer against llama.cpp itself, where llama-cpp-python (a development tool) is installed."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from ostinato.gguf.reader import open_gguf
from ostinato.gguf.tokenizer import Tokenizer
from ostinato.gguf.writer import GGUFWriter
from tests.gguf.test_tokenizer_oracle import random_text
from tests.gguf.vocabularies import vocab_path

llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed (pip install '.[dev]')")
pytestmark = pytest.mark.slow

SPECIALS = (
    "<|im_end|>", "<|eot_id|>", "<|endoftext|>", "</s>", "<s>", "<|user|>\n ", "<|end|>\n\n", " <|assistant|> x",
    "<unk>", "<|begin_of_text|>", "<|EOT|>", "▁", "ſ'ſ", "'K", "\u1c89", "\U0002ebf0",
)  # fmt: skip
# Those of the supported pre-tokenizers that llama-cpp-python 0.3.16 knows, tried on the vocabulary of gpt-2.
PRE = ("default", "starcoder", "falcon", "deepseek-v3", "smaug-bpe", "chatglm-bpe", "stablelm2", "mpt", "hunyuan")


def random_character(rng: random.Random) -> str:
    code = rng.randrange(0x110000 - 0x800)
    return chr(code if code < 0xD800 else code + 0x800)  # no surrogates


def text_with_specials(rng: random.Random) -> str:
    extras = rng.choices(SPECIALS, k=rng.randrange(4)) + [random_character(rng) for _ in range(rng.randrange(4))]
    text = random_text(rng)
    for extra in extras:
        at = rng.randrange(len(text) + 1)
        text = text[:at] + extra + text[at:]
    return text


def compare(path: Path, seed: str) -> None:
    theirs: Any = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
    ours = Tokenizer.from_gguf(path)
    rng = random.Random(seed)
    for _ in range(400):
        raw = text_with_specials(rng).encode()
        add_special, parse_special = rng.random() < 0.5, rng.random() < 0.5
        expected = theirs.tokenize(raw, add_bos=add_special, special=parse_special)
        assert ours.encode(raw, add_special, parse_special) == expected, (raw, add_special, parse_special)


@pytest.mark.parametrize("name", ["llama-spm", "phi-3", "gpt-2", "llama-bpe", "qwen2", "deepseek-coder"])
def test_ids_of_random_texts(name: str) -> None:
    compare(vocab_path(name), name)


@pytest.mark.parametrize("pre", PRE)
def test_ids_with_other_pre_tokenizers(pre: str, tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.gguf"
    with open_gguf(vocab_path("gpt-2")) as file, GGUFWriter(path) as writer:
        for key, value in file.metadata.items():
            writer.add(key, pre if key == "tokenizer.ggml.pre" else value)
    compare(path, pre)
