"""Bad vocabularies give one clear error; hostile texts take linear time; threads do not disturb one another."""

from __future__ import annotations

import random
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ostinato import _tokenizer
from ostinato.gguf.tokenizer import Tokenizer, TokenizerError
from ostinato.gguf.types_table import ValueType
from ostinato.gguf.writer import GGUFWriter
from tests.gguf.pairs import byte_alphabet
from tests.gguf.vocabularies import BYTE, CONTROL, NORMAL, native, pack_strings, small_bpe, vocab_path

TOKENS = ["a", "b", "ab"]


def native_raw(tokens: tuple[bytes, int], **arrays: Any) -> _tokenizer.Tokenizer:
    arguments = {"model": "gpt2", "pre": "gpt-2", "name": "", "merges": pack_strings([])} | arrays
    return _tokenizer.Tokenizer(tokens=tokens, **arguments)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ((b"", 0), "tokens is empty"),
        ((b"", 1), "1 strings cannot lie in 0 bytes"),
        ((b"\1\0\0\0\0\0\0\0a", 2), "2 strings cannot lie in 9 bytes"),
        ((b"\1\0\0\0\0\0\0\0a" * 2, 2**64 - 1), "18446744073709551615 strings cannot lie in 18 bytes"),
        ((b"\2\0\0\0\0\0\0\0a", 1), "string 0 runs past the end"),
        ((b"\xff" * 9, 1), "string 0 runs past the end"),
        ((b"\xf7" + b"\xff" * 7 + b"a" * 8, 1), "string 0 runs past the end"),
        ((b"\1\0\0\0\0\0\0\0a" + b"\0" * 7, 2), "cannot lie|runs past"),
        (pack_strings(["a", "b", "a"]), "tokens 0 and 2 have the same text"),
    ],
)
def test_bad_token_arrays(tokens: tuple[bytes, int], message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        native_raw(tokens)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"merges": None}, "merges is missing"),
        ({"merges": ["ab"]}, "merge 0 is not two parts"),
        ({"merges": ["a b", " "]}, "merge 1 is not two parts"),
        ({"merges": ["a b", " a"]}, "merge 1 is not two parts"),
        ({"merges": ["a "]}, "merge 0 is not two parts"),
        ({"merges": [""]}, "merge 0 is not two parts"),
        ({"merges": [], "model": "hybriddna"}, "model 'hybriddna' is not supported; known: llama, gpt2"),
        ({"model": "bert"}, "bos_token_id and seperator_token_id are missing, and WordPiece needs them"),
        ({"model": "plamo2"}, "tokens has no token <0x00>"),
        ({"model": "whitespace", "pre": "gpt-2"}, "pre 'gpt-2' is not supported; known: whitespace"),
        ({"merges": [], "pre": "nonsense"}, "pre 'nonsense' is not supported; known: default, gpt-2"),
        ({"merges": [], "types": [1, 1]}, "token_type has 2 elements in 8 bytes, tokenizer.ggml.tokens has 3"),
        ({"merges": [], "scores": [1.0] * 4}, "scores has 4 elements"),
        ({"merges": [], "bos": 3}, "bos_token_id is 3, the vocabulary has 3 tokens"),
        ({"merges": [], "eos": 2**32 - 1}, "eos_token_id is 4294967295"),
        ({"merges": [], "eot": -7}, "eot_token_id is -7"),
        ({"merges": [], "unknown": 2**40}, "unknown_token_id is"),
        ({"merges": [], "add_bos": 1}, "add_bos_token is true, but there is no bos_token_id"),
        ({"merges": [], "add_eos": 1}, "add_eos_token is true, but there is no eos_token_id"),
    ],
)
def test_bad_metadata(metadata: dict[str, Any], message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        native(TOKENS, **metadata)


def test_a_count_that_disagrees_with_the_bytes_of_numbers() -> None:
    with pytest.raises(TokenizerError, match="token_type has 3 elements in 11 bytes"):
        native_raw(pack_strings(TOKENS), types=(b"\0" * 11, 3))


def test_an_overlong_special_token() -> None:
    with pytest.raises(TokenizerError, match="special token 1 has 2000 bytes"):
        native(["a", "b" * 2000], merges=[], types=[NORMAL, CONTROL])


def test_what_is_odd_but_harmless() -> None:
    """Empty tokens, merges of strangers and repeated ones, bytes that are not UTF-8, types and scores out of range."""
    tokenizer = small_bpe(
        ["", b"\xff\xfe", "a", "b", "ab", "<0xZZ>"],
        ["a b", "x y", "a b", b"\xff \xfe", "ab ab"],
        types=[1, 1, 1, 99, -5, BYTE],
        scores=[float("nan"), float("inf"), -float("inf"), 0, 0, 0],
    )
    assert tokenizer.encode("ab") == [4]
    assert tokenizer.encode("abab") == [2, 3, 2, 3]  # joined to what is no token, and so given byte by byte
    assert tokenizer.encode("xyz") == []
    assert tokenizer.decode_bytes(range(6)) == b"\xff\xfea"


def test_a_spm_vocabulary_of_nonsense_scores() -> None:
    tokens = ["a", "b", "ab", "ba", "aa"]
    scores = [float("nan"), -float("inf"), float("nan"), float("inf"), -0.0]
    tokenizer = native(tokens, model="llama", scores=scores, types=[NORMAL] * 5, add_space_prefix=0)
    assert tokenizer.decode_bytes(tokenizer.encode(b"abbaaabab", False, False), False, False) == b"abbaaabab"


def mix(hashes: np.ndarray) -> np.ndarray:
    """As in native/tokenizer/hash.h."""
    hashes = (hashes ^ hashes >> np.uint64(32)) * np.uint64(0x9E3779B97F4A7C15)
    return hashes ^ hashes >> np.uint64(29)


def test_texts_crafted_to_collide() -> None:
    """1500 texts of 8 bytes whose hashes share the low 12 bits, all of those that place them in their table."""
    words = np.arange(1500 << 13, dtype=np.uint64) + np.uint64(0x6161616161616161)
    hashes = mix(mix(words ^ np.uint64(8)))
    crafted = words[hashes & np.uint64(0xFFF) == 0][:1500]
    assert len(crafted) == 1500
    with pytest.raises(TokenizerError, match="texts crafted to collide, at token 1024"):
        native([struct.pack("<Q", word) for word in crafted.tolist()], merges=[])


def test_random_vocabularies_never_crash() -> None:
    rng = random.Random(7)
    for _ in range(300):
        tokens = list({rng.randbytes(rng.randrange(5)) for _ in range(rng.randrange(1, 40))})
        merges = [rng.choice(tokens) + b" " + rng.choice(tokens) for _ in range(rng.randrange(30))]
        kinds = [rng.randrange(-1, 8) for _ in tokens]
        scores = [struct.unpack("<f", rng.randbytes(4))[0] for _ in tokens]
        model = rng.choice(["llama", "gpt2"])
        try:
            tokenizer = Tokenizer(native(tokens, merges, scores, kinds, model=model, pre="llama-bpe"), None)
        except TokenizerError:
            continue
        for _ in range(5):
            raw = b"".join(rng.choices(tokens, k=8)) + rng.randbytes(6)
            tokenizer.decode(tokenizer.encode(raw, add_special=True, parse_special=rng.random() < 0.5))


def test_corrupted_arrays_never_crash() -> None:
    rng = random.Random(11)
    whole, count = pack_strings([f"token{i}" for i in range(50)])
    for _ in range(500):
        raw = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        try:
            tokenizer = native_raw((bytes(raw[: rng.randrange(len(raw))]), rng.choice([count, count - 1, 2**31])))
        except TokenizerError:
            continue
        tokenizer.encode(b"token1 token2", True, True)


MEBIBYTE = 2**20
HOSTILE: dict[str, str | bytes] = {
    "spaces": " " * MEBIBYTE,
    "one letter": "a" * MEBIBYTE,
    "newlines": "\n" * MEBIBYTE,
    "apostrophes": "'" * MEBIBYTE,
    "spaces and letters": " a" * (MEBIBYTE // 2),
    "line ends": " \r\n" * (MEBIBYTE // 3),
    "angle brackets": "<" * MEBIBYTE,
    "marks": "\u0301" * (MEBIBYTE // 2),
    "ideographs": "中" * (MEBIBYTE // 3),
    "digits": "7" * MEBIBYTE,
    "invalid": b"\xf0\x9f" * (MEBIBYTE // 2),
}


SLOW_ONES = (pytest.param(name, marks=pytest.mark.slow) for name in ("gpt-2", "qwen2", "deepseek-coder"))


@pytest.mark.parametrize("name", ["llama-spm", "llama-bpe", *SLOW_ONES])
def test_a_mebibyte_of_anything_takes_seconds_at_most(name: str) -> None:
    """A quadratic step anywhere would take minutes or more; the bound is generous, for slow and busy machines."""
    tokenizer = Tokenizer.from_gguf(vocab_path(name))
    for kind, text in HOSTILE.items():
        begin = time.process_time()
        ids = tokenizer.encode_array(text, parse_special=True)
        assert time.process_time() - begin < 10, kind
        assert tokenizer.decode_bytes(ids[:1000].tolist())


# What makes the expressions of pre-tokenizers look far ahead in vain.
PART = MEBIBYTE // 8
AHEAD: dict[str, str] = {
    "spaces before a letter": " " * PART + "a",
    "capitals": "A" * PART,
    "capitals after an accent": "É" + "A" * PART,
    "accents": "ÉA" * (PART // 3),
    "words": "a " * (PART // 2),
    "half an image": "IMGIMG" + "A" * PART,
    "half a sentinel": "<sentinel:" + "1" * PART,
    "digits of two kinds": "1²" * (PART // 3),
}
EXPRESSIONS = (
    "falcon", "jais-2", "minicpm5", "qwen35", "seed-coder", "exaone-moe", "deepseek-llm", "spark2_5", "afmoe", "youtu",
    "viking", "tekken", "granite-embed-multi-97m", "tiny_aya", "kimi-k2", "superbpe", "chameleon",
)  # fmt: skip


def hostile_parts() -> list[tuple[str, bytes]]:
    shorter = {kind: text[:PART] for kind, text in HOSTILE.items()}
    return [(kind, text if isinstance(text, bytes) else text.encode()) for kind, text in (AHEAD | shorter).items()]


@pytest.mark.parametrize("pre", EXPRESSIONS)
def test_expressions_take_linear_time(pre: str) -> None:
    tokenizer = small_bpe(byte_alphabet(), [], pre=pre)
    for kind, text in hostile_parts():
        begin = time.process_time()
        ids = tokenizer.encode_array(text)
        assert time.process_time() - begin < 3, kind  # a quadratic step anywhere would take far longer
        assert len(ids) == len(text)


@pytest.mark.parametrize("model", ["bert", "t5", "rwkv", "plamo2"])
def test_models_take_linear_time(model: str) -> None:
    tokens = ["<s>", *(f"<0x{byte:02X}>" for byte in range(256)), *("a" * n for n in range(1, 60)), "▁a", "▁", " ", "7"]
    types = [CONTROL, *[BYTE] * 256, *[NORMAL] * 63]
    special: dict[str, Any] = {"bos": 0, "separator": 0, "unknown": 0}
    tokenizer = native(tokens, model=model, types=types, scores=[-1.0] * len(tokens), **special)
    for kind, text in hostile_parts():
        begin = time.process_time()
        tokenizer.encode_array(text, False, False)
        assert time.process_time() - begin < 3, kind


def test_threads_share_a_tokenizer() -> None:
    tokenizer = Tokenizer.from_gguf(vocab_path("gpt-2"))
    texts = [f"thread {i} says {'so ' * i}" for i in range(64)]
    alone = [tokenizer.encode(text) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(tokenizer.encode, texts)) == alone


def write_vocabulary(path: Path, **changes: Any) -> Path:
    """A small file with a vocabulary; `changes` replaces metadata, None leaves a key out."""
    entries: dict[str, Any] = {"model": "gpt2", "pre": "gpt-2", "tokens": TOKENS, "merges": ["a b"]} | changes
    with GGUFWriter(path) as writer:
        writer.add("general.architecture", "llama")
        for key, value in entries.items():
            if isinstance(value, tuple):
                writer.add(f"tokenizer.ggml.{key}", *value)
            elif value is not None:
                writer.add(f"tokenizer.ggml.{key}", value)
    return path


def test_a_file_with_a_vocabulary_only(tmp_path: Path) -> None:
    assert Tokenizer.from_gguf(write_vocabulary(tmp_path / "v.gguf")).encode("aba") == [2, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens": None}, "tokenizer.ggml.tokens is missing"),
        ({"model": None}, "tokenizer.ggml.model is missing"),
        ({"model": 7}, "tokenizer.ggml.model is int, expected str"),
        ({"tokens": "a"}, "tokenizer.ggml.tokens is 'a', expected an array of STRING"),
        ({"tokens": ([1, 2], ValueType.INT32)}, "expected an array of STRING"),
        ({"token_type": ([1.0, 2.0, 3.0], ValueType.FLOAT32)}, "expected an array of INT32"),
        ({"bos_token_id": "a"}, "bos_token_id is str, expected int"),
        ({"bos_token_id": (-1, ValueType.INT32)}, "bos_token_id is -1, expected an id"),
        ({"add_bos_token": 1}, "add_bos_token is int, expected bool"),
    ],
)
def test_bad_metadata_of_a_file(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write_vocabulary(tmp_path / "v.gguf", **changes)
    with pytest.raises(TokenizerError, match=message) as caught:
        Tokenizer.from_gguf(path)
    assert str(caught.value).startswith(str(path))
