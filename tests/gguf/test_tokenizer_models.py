"""WordPiece, RWKV, PLaMo 2, gemma 4: against Hugging Face's `tokenizers`, llama.cpp and plain definitions."""

from __future__ import annotations

import random
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Oracle
from tokenizers import models, normalizers, pre_tokenizers

from ostinato.gguf.tokenizer import Tokenizer
from ostinato.gguf.types_table import ValueType
from ostinato.gguf.writer import GGUFWriter
from tests.gguf.pairs import ALPHABETS, SNIPPETS, random_text
from tests.gguf.vocabularies import BYTE, CONTROL, NORMAL, UNKNOWN, native

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]

# --- WordPiece


def piece(token: str) -> str:
    """A token of a BERT vocabulary as GGUF writes it."""
    if token.startswith("[") and token.endswith("]"):
        return token
    return token[2:] if token.startswith("##") else "▁" + token


def word_pieces() -> list[str]:
    """Specials, every character that the texts have much of, alone and inside words, and some longer pieces."""
    letters = (
        string.ascii_letters + string.digits + string.punctuation + "éÉßöΑαЖж中文日本かな한국ᄒ" + "ᅡᆫ\u0301\u093e\u0903"
    )
    longer = ["hello", "world", "##ing", "##ll", "the", "don", "##ello", "HTTP", "ser", "##ver", "def", "cafe", "##é"]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *[f"##{letter}" for letter in letters], *longer]
    return list(dict.fromkeys(tokens))


def word_piece(**metadata: Any) -> Tokenizer:
    tokens = [piece(token) for token in word_pieces()]
    types = [CONTROL, UNKNOWN] + [CONTROL] * 3 + [NORMAL] * (len(tokens) - 5)
    ids: dict[str, Any] = {"unknown": 1, "bos": 2, "separator": 3}
    return Tokenizer(native(tokens, model="bert", types=types, **(ids | metadata)), None)


def bert(lowercase: bool, strip_accents: bool) -> Oracle:
    ids = {token: id for id, token in enumerate(word_pieces())}
    oracle = Oracle(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    oracle.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=strip_accents)
    oracle.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return oracle


SETTLED = set("".join(SNIPPETS + ALPHABETS)) | set(map(chr, range(0x600)))


def settled(text: str) -> str:
    """Without most characters that Unicode has added or changed since the version that `tokenizers` classes them by."""
    return "".join(filter(SETTLED.__contains__, text))


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("strip_accents", [False, True])
def test_word_pieces_are_those_of_hugging_face(lowercase: bool, strip_accents: bool) -> None:
    ours, theirs = word_piece(lowercase=lowercase, strip_accents=strip_accents), bert(lowercase, strip_accents)
    rng = random.Random(1)
    for text in (settled(random_text(rng)) for _ in range(500)):
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids, repr(text)


def test_marks_and_syllables() -> None:
    """What llama.cpp does otherwise: spacing marks stay, a syllable of Hangul has all its letters."""
    ours, theirs = word_piece(), bert(True, True)
    for text in ("한국 cafe\u0301 a\u0903b \u0130", "\u2260 \u1fef", "a" * 100 + " " + "a" * 101):
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids, text


def test_texts_stand_between_cls_and_sep() -> None:
    tokenizer = word_piece()
    hello = tokenizer.encode("Hello")
    assert tokenizer.encode("Hello", add_special=True) == [2, *hello, 3]
    assert tokenizer.encode("Hello [SEP] hello", add_special=True, parse_special=True) == [2, *hello, 3, *hello, 3]
    assert tokenizer.separator_id == 3
    assert tokenizer.decode(tokenizer.encode("Hello world")) == "hello world"


# --- RWKV


def world(tokens: list[str], **metadata: Any) -> Tokenizer:
    return Tokenizer(native(["<s>", *tokens], model="rwkv", types=[CONTROL] + [NORMAL] * len(tokens), **metadata), None)


def test_rwkv_takes_the_longest_token() -> None:
    tokenizer = world(["a", "b", "ab", "abc", r"\n", r"\n\n", r"\xe3\x81", r"\\", r"\t", "c"])
    assert tokenizer.encode("abcabb\n\n\n\\\t") == [4, 3, 2, 6, 5, 8, 9]
    assert tokenizer.encode(b"\xe3\x81") == [7]
    assert tokenizer.decode_bytes(range(1, 11)) == b"abababc\n\n\n\xe3\x81\\\tc"
    assert tokenizer.encode("a?b") == [1, 2]
    assert world(["a", "b"], unknown=0).encode("a?b") == [1, 0, 2]
    assert tokenizer.encode("<s>", parse_special=True) == [0]


# --- PLaMo 2


def plamo(scores: dict[str, float]) -> Tokenizer:
    tokens = ["<|plamo:unk|>", "<|plamo:bos|>", "<|plamo:eos|>", "<|plamo:pad|>", *BYTES, *scores]
    types = [UNKNOWN, CONTROL, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * len(scores)]
    return Tokenizer(native(tokens, model="plamo2", types=types, scores=[0.0] * 260 + list(scores.values())), None)


def plain_plamo(text: str, scores: dict[str, float]) -> list[str]:
    """The definition: the pieces with the best sum of scores, from every place the longest first piece of the best."""
    best: list[tuple[int, list[str]]] = [(0, [])]  # from the end of the text
    for at in reversed(range(len(text))):
        ways = [
            (best[-size][0] - round(scores[text[at : at + size]] * 1e4), -size)
            for size in range(1, len(text) - at + 1)
            if text[at : at + size] in scores
        ]
        cost, size = min([*ways, (best[-1][0] + 10_000_000, 0)])
        size = max(1, -size)
        best.append((cost, [text[at : at + size], *best[-size][1]]))
    return best[-1][1]


@settings(max_examples=100, deadline=None)
@given(
    scores=st.dictionaries(st.text("abé中", min_size=1, max_size=4), st.integers(-20, 0).map(float)),
    text=st.text("abé中", max_size=20),
)
def test_plamo_takes_the_best_sum(scores: dict[str, float], text: str) -> None:
    tokenizer = plamo(scores)
    pieces = plain_plamo(text, scores)
    expected = [part.encode() for piece in pieces for part in ([piece] if piece in scores else piece)]
    assert b"".join(expected) == text.encode()
    ids = tokenizer.encode(text)
    assert [id for id in ids if id >= 260] == [260 + list(scores).index(p) for p in pieces if p in scores]
    assert tokenizer.decode(ids) == text


# --- against llama.cpp


def write(path: Path, tokens: list[str], types: list[int], scores: list[float], model: str) -> Path:
    with GGUFWriter(path) as writer:
        writer.add("general.architecture", "llama")
        writer.add("tokenizer.ggml.model", model)
        writer.add("tokenizer.ggml.tokens", tokens)
        writer.add("tokenizer.ggml.token_type", types)
        writer.add("tokenizer.ggml.scores", scores, ValueType.FLOAT32)
    return path


def llama_tokens(path: Path, texts: list[str]) -> list[list[int]]:
    llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed (pip install '.[dev]')")
    model: Any = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
    return [model.tokenize(text.encode(), add_bos=True, special=True) for text in texts]


def made_up_texts(seed: int) -> list[str]:
    rng = random.Random(seed)
    return [random_text(rng).replace("\ufeff", "") for _ in range(200)]


def substrings(texts: list[str], count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    starts = [(text, rng.randrange(len(text))) for text in rng.choices(texts, k=count)]
    found = {text[at : at + rng.randrange(1, 6)] for text, at in starts}
    return sorted(piece for piece in found if piece.strip() and not set(piece) & {"\\", "\0", "<", "["})


def test_plamo_ids_are_those_of_llama_cpp(tmp_path: Path) -> None:
    texts = made_up_texts(2)
    pieces = substrings(texts, 2000, 3)
    rng = random.Random(4)
    tokens = ["<|plamo:unk|>", "<|plamo:bos|>", "<|plamo:eos|>", "<|plamo:pad|>", *BYTES, *pieces]
    types = [UNKNOWN, CONTROL, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * len(pieces)]
    scores = [0.0] * 260 + [-float(rng.randrange(1, 2000)) / 100 for _ in pieces]
    path = write(tmp_path / "plamo.gguf", tokens, types, scores, "plamo2")
    tokenizer = Tokenizer.from_gguf(path)
    assert [tokenizer.encode(text, True, True) for text in texts] == llama_tokens(path, texts)


def test_rwkv_ids_are_those_of_llama_cpp(tmp_path: Path) -> None:
    texts = made_up_texts(5)
    octets = [rf"\x{byte:02x}" for byte in range(256)]
    pieces = [p for p in substrings(texts, 2000, 6) if len(p.encode()) > 1]
    tokens = ["<s>", *octets, *pieces]
    path = write(tmp_path / "rwkv.gguf", tokens, [CONTROL] + [NORMAL] * (len(tokens) - 1), [0.0] * len(tokens), "rwkv")
    tokenizer = Tokenizer.from_gguf(path)
    assert [tokenizer.encode(text, True, True) for text in texts] == llama_tokens(path, texts)
    assert [tokenizer.decode(tokenizer.encode(text)) for text in texts] == texts


# --- gemma 4


def test_gemma_4_spells_bytes_and_keeps_newlines_whole() -> None:
    tokens = ["<s>", *BYTES, "\n", "\n\n", "▁", "a", "b", "ab", "▁ab"]
    types = [CONTROL, *[BYTE] * 256, *[NORMAL] * 7]
    gemma = native(tokens, ["a b", "▁ ab"], types=types, model="gemma4", pre="anything", bos=0, add_bos=0)
    tokenizer = Tokenizer(gemma, None)
    assert tokenizer.encode(" ab\n\nab\n\n\né", add_special=True) == [
        0,
        263,
        258,
        262,
        257,
        257,
        257,
        1 + 0xC3,
        1 + 0xA9,
    ]
    assert tokenizer.decode(tokenizer.encode(" ab\n\né")) == " ab\n\né"


def test_every_model_refuses_what_it_lacks_by_name() -> None:
    for model in ("hybriddna", "none", "test", "no_vocab"):
        with pytest.raises(ValueError, match=f"model '{model}' is not supported; known: llama, gpt2, gemma4"):
            native(["a"], model=model)
