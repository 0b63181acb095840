"""The tokenizer against others: Hugging Face's `tokenizers` for byte-level BPE, plain definitions for the merging."""

from __future__ import annotations

import random
import unicodedata
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, pre_tokenizers
from tokenizers import Tokenizer as Oracle
from tokenizers.models import BPE

from ostinato.gguf.reader import open_gguf
from ostinato.gguf.tokenizer import Tokenizer
from ostinato.gguf.values import ArrayView
from tests.gguf.vocabularies import USER_DEFINED, small_bpe, small_spm, vocab_path

# The expressions of the models' tokenizer.json files (gpt-2: of OpenAI's encoder.py).
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEEPSEEK3 = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN35 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PATTERNS = {
    "gpt-2": [GPT2],
    "starcoder": [r"\p{N}", GPT2],
    "falcon": [r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"],
    "default": [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
    "llama-bpe": [LLAMA3],
    "qwen2": [LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")],
    "qwen35": [QWEN35],
    "deepseek-coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[[一-龥ࠀ-一가-퟿]&&\S]+", r"\p{N}"],
    "deepseek-v3": [r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK3],
}
FILES = ("gpt-2", "llama-bpe", "qwen2", "deepseek-coder")


def pre_tokenizer(name: str) -> pre_tokenizers.PreTokenizer:
    splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in PATTERNS[name]]
    return pre_tokenizers.Sequence([*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def parts_of(merge: str) -> tuple[str, str]:
    left, right = merge.split(" ")
    return left, right


@cache
def pair(name: str) -> tuple[Tokenizer, Oracle]:
    """Ours and theirs, from the same file."""
    with open_gguf(vocab_path(name)) as file:
        tokens = [str(token) for token in file.require("tokenizer.ggml.tokens", ArrayView)]
        types = list(file.require("tokenizer.ggml.token_type", ArrayView))
        merges = [parts_of(str(merge)) for merge in file.require("tokenizer.ggml.merges", ArrayView)]
        ours = Tokenizer.from_gguf(file)
    ids = {token: id for id, token in enumerate(tokens)}
    theirs = Oracle(BPE(ids, merges, ignore_merges=name == "llama-bpe"))
    theirs.pre_tokenizer = pre_tokenizer(name)
    user_defined = [token for token, type in zip(tokens, types, strict=True) if type == USER_DEFINED]
    theirs.add_tokens([AddedToken(token, normalized=False) for token in user_defined])
    return ours, theirs


@cache
def characters() -> list[str]:
    """Characters that every Unicode version since Python's own (at least 14) puts into the same class."""
    unsure = {"Cn", "Cs", "Co"}
    assigned = (chr(code) for code in range(0x20000) if unicodedata.category(chr(code)) not in unsure)
    # Case folding makes these two s and k for a regular expression, not for llama.cpp.
    return [char for char in assigned if char not in "\u017f\u212a"]


SNIPPETS = (
    "'s", "'LL", "'Ve", " 'd", "don't", "I'M", "'", "''", "'l", "'r", "</div>", "===", " hello", "World", "the", "ing",
    "def f(x):\n    return x**2\n", "for(int i=0;i<n;++i){", "<|im_end|>", "http://a.b/c?d=e&f", "e\u0301", "👩‍👩‍👧🏳️‍🌈",
)  # fmt: skip
ALPHABETS = (
    "0123456789²½٣",
    " \t\n\r",
    "\u3000\xa0\u2028\x85 \n",
    "中文日本語テストかな한국어",
    "😀é e\u0301",
    "aAzZéß",
)


def random_text(rng: random.Random) -> str:
    def part() -> str:
        match rng.randrange(4):
            case 0:
                return rng.choice(SNIPPETS)
            case 1:
                return "".join(rng.choices(characters(), k=rng.randrange(1, 4)))
            case _:
                return "".join(rng.choices(rng.choice(ALPHABETS), k=rng.randrange(1, 8)))

    return "".join(part() + " " * (rng.random() < 0.4) for _ in range(rng.randrange(1, 25)))


@pytest.mark.parametrize("name", FILES)
def test_ids_are_those_of_hugging_face(name: str) -> None:
    ours, theirs = pair(name)
    rng = random.Random(name)
    for text in (random_text(rng) for _ in range(500)):
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids, repr(text)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_ids_are_those_of_hugging_face_for_hypothesis(name: str, data: st.DataObject) -> None:
    ours, theirs = pair(name)
    text = "".join(data.draw(st.lists(st.sampled_from(SNIPPETS) | st.sampled_from(characters()))))
    assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("name", PATTERNS)
def test_words_are_those_of_the_published_expressions(name: str) -> None:
    """With a vocabulary in which every word of the texts is a token, so that each cut shows in the ids."""
    rng = random.Random(name)
    texts = [random_text(rng) for _ in range(300)]
    split = pre_tokenizer(name)
    words = [[word for word, _ in split.pre_tokenize_str(text)] for text in texts]
    tokens = sorted({word for line in words for word in line})
    # Left to right, every prefix of a word is a merge away from the next one.
    prefixes = {word[:end] for word in tokens for end in range(1, len(word) + 1)}
    everything = sorted(prefixes | {char for word in tokens for char in word})
    merges = sorted({f"{word[:-1]} {word[-1]}" for word in prefixes if len(word) > 1}, key=lambda m: (len(m), m))
    ours = small_bpe(everything, merges, pre=name)
    ids = {token: id for id, token in enumerate(everything)}
    theirs = Oracle(BPE(ids, [parts_of(merge) for merge in merges], ignore_merges=name == "llama-bpe"))
    theirs.pre_tokenizer = split
    for text in texts:
        assert ours.encode(text) == theirs.encode(text).ids, repr(text)


def plain_bpe(word: str, ranks: dict[tuple[str, str], int]) -> list[str]:
    """The definition: join the pair of the lowest rank, the leftmost first, until there is none."""
    parts = list(word)
    while True:
        joinable = [(ranks[pair], i) for i, pair in enumerate(pairwise(parts)) if pair in ranks]
        if not joinable:
            return parts
        _, i = min(joinable)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]


@settings(max_examples=200, deadline=None)
@given(
    merges=st.lists(st.tuples(st.text("abc", min_size=1, max_size=4), st.text("abc", min_size=1, max_size=4))),
    word=st.text("abc", min_size=1, max_size=40),
)
def test_bpe_joins_by_rank(merges: list[tuple[str, str]], word: str) -> None:
    """Merges that no sane trainer would write, too: of parts that never come to be, and given twice."""
    tokens = sorted({"a", "b", "c"} | {left + right for left, right in merges})
    ranks: dict[tuple[str, str], int] = {}
    for rank, merge in enumerate(merges):
        ranks.setdefault(merge, rank)
    ours = small_bpe(tokens, [f"{left} {right}" for left, right in merges])
    assert ours.encode(word) == [tokens.index(part) for part in plain_bpe(word, ranks)]


def plain_spm(text: str, scores: dict[str, float]) -> list[str]:
    """The definition: join the pair whose text has the best score, the leftmost first, until there is none."""
    parts = list(text)
    while True:
        joined = [(-scores[a + b], i) for i, (a, b) in enumerate(pairwise(parts)) if a + b in scores]
        if not joined:
            return parts
        _, i = min(joined)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]


@settings(max_examples=200, deadline=None)
@given(
    scores=st.dictionaries(st.text("ab▁", min_size=2, max_size=5), st.integers(-5, 5).map(float)),
    text=st.text("ab ", max_size=40),
)
def test_spm_joins_by_score(scores: dict[str, float], text: str) -> None:
    scores = scores | {"a": -9.0, "b": -9.0, "▁": -9.0}
    ours = small_spm(scores)
    pieces = plain_spm("▁" + text.replace(" ", "▁"), scores) if text else []
    assert [ours.token_bytes(id) for id in ours.encode(text)] == [p.replace("▁", " ").encode() for p in pieces]
