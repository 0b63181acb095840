"""The tokenizer against llama.cpp itself, where llama-cpp-python (a development tool) is installed."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest

from ostinato import _tokenizer
from ostinato.gguf.tokenizer import Tokenizer
from tests.gguf.pairs import random_text, write_pairs
from tests.gguf.vocabularies import small_bpe, vocab_path

llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed (pip install '.[dev]')")

# One of each list of expressions in native/tokenizer/pretokenizers.cpp, and what has flags of its own.
VARIANTS = (
    "default", "starcoder", "falcon", "llama-bpe", "glm4", "minicpm5", "jais-2", "laguna", "qwen35", "ufakzeka",
    "seed-coder", "exaone-moe", "deepseek-llm", "deepseek-coder", "deepseek-v3", "spark2_5", "afmoe", "youtu", "bloom",
    "viking", "tekken", "gpt-4o", "granite-embed-multi-97m", "tiny_aya", "kimi-k2", "superbpe", "chameleon", "gemma4",
    "sarvam-moe", "whitespace", "jina-v2-es",
)  # fmt: skip


def known_pre_tokenizers() -> list[str]:
    """All names, as the message about an unknown one lists them."""
    try:
        small_bpe(["a"], [], pre="nonsense")
    except _tokenizer.TokenizerError as error:
        return str(error).split("known: ")[1].split(", ")
    raise AssertionError("'nonsense' is accepted")


def compare(path: Path, seed: str, count: int) -> None:
    theirs: Any = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
    ours = Tokenizer.from_gguf(path)
    rng = random.Random(seed)
    for _ in range(count):
        text = random_text(rng)
        if seed == "sarvam-moe":  # llama.cpp aborts at two newlines in a row there
            text = re.sub("\n+", "\n", text)
        add_special, parse_special = rng.random() < 0.5, rng.random() < 0.5
        expected = theirs.tokenize(text.encode(), add_bos=add_special, special=parse_special)
        assert ours.encode(text, add_special, parse_special) == expected, (text, add_special, parse_special)


def compare_cuts(pre: str, folder: Path, count: int) -> None:
    model = pre if pre in ("gemma4", "whitespace") else "gpt2"
    compare(write_pairs(folder / "vocabulary.gguf", pre, model), pre, count)


@pytest.mark.parametrize("pre", VARIANTS)
def test_words_are_cut_as_llama_cpp_cuts_them(pre: str, tmp_path: Path) -> None:
    compare_cuts(pre, tmp_path, 50)


@pytest.mark.slow
@pytest.mark.parametrize("pre", known_pre_tokenizers())
def test_words_are_cut_as_llama_cpp_cuts_them_by_every_name(pre: str, tmp_path: Path) -> None:
    compare_cuts(pre, tmp_path, 400)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llama-spm", "phi-3", "gpt-2", "llama-bpe", "qwen2", "deepseek-coder"])
def test_ids_of_random_texts(name: str) -> None:
    compare(vocab_path(name), name, 400)
