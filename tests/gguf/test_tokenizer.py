"""The tokenizer against llama.cpp's own cases, and what it promises about special tokens, bytes and streams."""

from __future__ import annotations

import codecs
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ostinato.gguf.reader import open_gguf
from ostinato.gguf.tokenizer import Tokenizer, TokenizerError
from tests.gguf.vocabularies import CONTROL, NORMAL, UNKNOWN, USER_DEFINED, native, small_bpe, small_spm, vocab_path
from tests.support import find_data_dir

NAMES = ("llama-spm", "phi-3", "gpt-2", "llama-bpe", "qwen2", "deepseek-coder")
SEPARATOR = "\n__ggml_vocab_test__\n"


@cache
def load(name: str) -> Tokenizer:
    return Tokenizer.from_gguf(vocab_path(name))


def cases(name: str) -> list[tuple[str, list[int]]]:
    path = vocab_path(name)
    texts = Path(f"{path}.inp").read_text(encoding="utf-8").split(SEPARATOR)
    lines = Path(f"{path}.out").read_text().split("\n")[: len(texts)]
    return [(text, [int(id) for id in line.split()]) for text, line in zip(texts, lines, strict=True)]


def names_with_cases() -> list[str]:
    """Of all vocabularies that lie there, also of those that this file does not name."""
    folder = find_data_dir()
    found = sorted(folder.glob("vocab/ggml-vocab-*.gguf.inp")) if folder else []
    return sorted({path.name.removeprefix("ggml-vocab-").removesuffix(".gguf.inp") for path in found} | set(NAMES))


@pytest.mark.parametrize("name", names_with_cases())
def test_ids_are_those_of_llama_cpp(name: str) -> None:
    tokenizer = load(name)
    wrong = {text: ids for text, expected in cases(name) if (ids := tokenizer.encode(text)) != expected}
    assert not wrong


@pytest.mark.parametrize("name", NAMES)
def test_every_case_comes_back(name: str) -> None:
    tokenizer = load(name)
    assert [tokenizer.decode(tokenizer.encode(text)) for text, _ in cases(name)] == [text for text, _ in cases(name)]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁")))
def test_any_text_comes_back(name: str, text: str) -> None:
    tokenizer = load(name)
    assert tokenizer.decode(tokenizer.encode(text)) == text


# Not deepseek-coder: its file has the tokens of the bytes that are never UTF-8 as user-defined text.
@pytest.mark.parametrize("name", NAMES[:-1])
@settings(max_examples=60, deadline=None)
@given(raw=st.binary())
def test_any_bytes_come_back(name: str, raw: bytes) -> None:
    tokenizer = load(name)
    assert tokenizer.decode_bytes(tokenizer.encode(raw)) == raw


def test_half_a_surrogate_pair_is_no_error() -> None:
    assert load("gpt-2").decode_bytes(load("gpt-2").encode("a\ud800b")) == b"a\xed\xa0\x80b"


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_stream_gives_what_decode_gives(name: str, data: st.DataObject) -> None:
    tokenizer = load(name)
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1) | st.integers(0, 300), max_size=30))
    skip, continued = data.draw(st.booleans()), data.draw(st.booleans())
    stream = tokenizer.stream(skip, continued)
    pieces = [stream.push(id) for id in ids] + [stream.flush()]
    decoded = tokenizer.decode(ids, skip, continued)
    assert "".join(pieces) == decoded
    assert decoded == tokenizer.decode_bytes(ids, skip, continued).decode(errors="replace")


@settings(max_examples=200, deadline=None)
@given(raw=st.binary(max_size=12) | st.text(max_size=4).map(lambda text: text.encode()[1:]))
def test_a_stream_never_gives_half_a_character(raw: bytes) -> None:
    """Byte by byte: each push gives what Python's own incremental decoder gives, except that CPython waits for the
    third byte of an encoded surrogate (ED A0..BF), which is invalid from the second on."""
    assume(not re.search(rb"\xed[\xa0-\xbf]", raw))
    tokenizer = small_spm({})
    oracle = codecs.getincrementaldecoder("utf-8")("replace")
    stream = tokenizer.stream(continued=True)
    pushed = [stream.push(3 + byte) for byte in raw]
    assert pushed == [oracle.decode(bytes([byte])) for byte in raw]
    assert stream.flush() == oracle.decode(b"", final=True)


def test_ids_may_come_in_any_sequence() -> None:
    tokenizer = load("gpt-2")
    sequences: list[Any] = [(15496, 995), [15496, 995], np.array([15496, 995], np.int32), np.array([15496, 995])]
    for ids in sequences:
        assert tokenizer.decode(ids) == "Hello world"


def test_encode_array_is_encode() -> None:
    tokenizer = load("gpt-2")
    array = tokenizer.encode_array("some text, 123")
    assert array.dtype == np.int32
    assert array.tolist() == tokenizer.encode("some text, 123")
    assert tokenizer.encode_array("").shape == (0,)


def test_an_open_file_serves_as_well_and_may_be_closed() -> None:
    with open_gguf(vocab_path("llama-spm")) as file:
        tokenizer = Tokenizer.from_gguf(file)
    assert tokenizer.encode("Hello") == [15043]


@pytest.mark.parametrize(
    ("name", "bos", "eos", "eot", "stop", "size"),
    [
        ("llama-spm", 1, 2, None, {2}, 32000),
        ("phi-3", 1, 32000, 32007, {32000, 32007}, 32064),
        ("gpt-2", 50256, 50256, 50256, {50256}, 50257),
        ("llama-bpe", 128000, 128001, 128009, {128001, 128009}, 128256),
        ("qwen2", 151643, 151643, 151645, {151643, 151645}, 151936),
    ],
)
def test_special_ids(name: str, bos: int, eos: int, eot: int | None, stop: set[int], size: int) -> None:
    tokenizer = load(name)
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.eot_id) == (bos, eos, eot)
    assert tokenizer.vocab_size == size
    assert tokenizer.stop_ids == stop
    assert all(tokenizer.is_control(id) for id in stop)


def test_bos_by_default() -> None:
    assert load("llama-bpe").encode("Hi", add_special=True)[0] == 128000
    assert load("llama-spm").encode("", add_special=True) == [1]
    assert load("llama-spm").encode("") == []
    assert not load("qwen2").add_bos
    assert not load("gpt-2").add_bos


def test_control_tokens_are_text_unless_asked_for() -> None:
    tokenizer = load("qwen2")
    text = "<|im_start|>user\nHi<|im_end|>"
    assert tokenizer.encode(text, parse_special=True) == [151644, *tokenizer.encode("user\nHi"), 151645]
    assert not {151644, 151645} & set(tokenizer.encode(text))
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_skipping_special_tokens() -> None:
    tokenizer = load("llama-spm")
    ids = tokenizer.encode("Hello", add_special=True)
    assert tokenizer.decode(ids, skip_special=True) == "Hello"
    assert tokenizer.decode(ids) == "<s> Hello"
    assert tokenizer.decode(ids[1:], continued=True) == " Hello"


def test_sentencepiece_space_follows_special_tokens() -> None:
    tokenizer = load("llama-spm")
    assert tokenizer.encode("<s>Hello", parse_special=True) == [1, 15043]
    assert tokenizer.encode("Hello", parse_special=True) == [15043]


def test_phi_3_strips_white_space_after_its_special_tokens() -> None:
    tokenizer = load("phi-3")
    plain = tokenizer.encode("<|user|>Hi", parse_special=True)
    assert tokenizer.encode("<|user|>\n \tHi", parse_special=True) == plain
    assert tokenizer.encode("<s>\nHi", parse_special=True) != tokenizer.encode("<s>Hi", parse_special=True)


def test_the_longest_special_token_wins_even_from_behind() -> None:
    tokenizer = small_bpe(
        ["a", "b", "c", "d", "e", "abc", "cdef", "f"],
        [],
        types=[NORMAL] * 5 + [USER_DEFINED, CONTROL, NORMAL],
    )
    assert tokenizer.encode("abcdef") == [5, 3, 4, 7]
    assert tokenizer.encode("abcdef", parse_special=True) == [0, 1, 6]
    assert tokenizer.encode("abcabcabc") == [5, 5, 5]


def test_a_character_that_is_no_token_gives_its_bytes_or_the_unknown_token() -> None:
    assert small_spm({"▁a": -1.0}).encode("aé") == [259, 3 + 0xC3, 3 + 0xA9]
    without_bytes = native(["<unk>", "▁", "a"], model="llama", scores=[0, -1, -2], types=[UNKNOWN, NORMAL, NORMAL])
    assert Tokenizer(without_bytes, None).encode("aéa") == [1, 2, 0, 2]


def test_html_end_tags_do_not_end_a_generation() -> None:
    tokens = ["<s>", "</s>", "<|im_end|>"]
    assert small_bpe(tokens, [], types=[CONTROL, NORMAL, NORMAL]).stop_ids == {2}
    assert small_bpe(tokens, [], types=[CONTROL, CONTROL, NORMAL]).stop_ids == {1, 2}


def test_harmony_end_closes_a_message_only() -> None:
    tokens = ["<|end|>", "<|return|>", "<|call|>", "<|channel|>"]
    tokenizer = small_bpe(tokens, [], types=[CONTROL] * 4)
    assert tokenizer.stop_ids == {1, 2}
    assert [tokenizer.is_control(id) for id in range(4)] == [False, True, True, False]


@pytest.mark.parametrize("id", [-1, 50257, 2**31 - 1, 2**32, -(2**63)])
def test_ids_out_of_range_are_refused(id: int) -> None:
    tokenizer = load("gpt-2")
    for call in (tokenizer.decode, tokenizer.decode_bytes):
        with pytest.raises(TokenizerError, match=f"token id {id} at position 1"):
            call([0, id])
    for single in (tokenizer.token_bytes, tokenizer.is_control, tokenizer.stream().push):
        with pytest.raises(TokenizerError, match="ids 0 to 50256"):
            single(id)


def test_chat_template() -> None:
    assert "<|im_start|>" in (load("qwen2").chat_template or "")
    assert load("gpt-2").chat_template is None
