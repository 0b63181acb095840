"""Random vocabularies of every kind and random texts: no crash, known ids, and text that comes back where it can."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.gguf.tokenizer import Tokenizer, TokenizerError
from tests.gguf.pairs import ALPHABETS, SNIPPETS, byte_alphabet
from tests.gguf.test_tokenizer_llama_cpp import VARIANTS
from tests.gguf.vocabularies import BYTE, NORMAL, native, small_bpe

MODELS = ("llama", "gpt2", "gemma4", "whitespace", "bert", "t5", "rwkv", "plamo2")
BYTES = [f"<0x{byte:02X}>".encode() for byte in range(256)]

parts = st.sampled_from(SNIPPETS) | st.text(st.sampled_from("".join(ALPHABETS)), max_size=6) | st.text(max_size=4)
texts = st.lists(parts.map(lambda part: part.encode(errors="surrogatepass")) | st.binary(max_size=4)).map(b"".join)
pieces = st.binary(max_size=4) | st.text("ab▁é<>|\\x0 \n", max_size=5).map(str.encode)
ids = st.integers(-1, 40)
switches = st.integers(-1, 1)
floats = st.integers(0, 2**32 - 1).map(lambda bits: struct.unpack("<f", struct.pack("<I", bits))[0])
charsmaps = st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 2**18 - 1), max_size=200).map(
    lambda units: struct.pack(f"<{1 + len(units)}I", 4 * len(units), *units) + b"ab\0\xe2\x96\0"
)


@st.composite
def vocabularies(draw: st.DrawFn) -> Tokenizer | None:
    """One that is accepted, or None."""
    model = draw(st.sampled_from(MODELS))
    tokens = draw(st.lists(pieces, max_size=30, unique=True)) + (BYTES if draw(st.booleans()) else [])
    merges = [b" ".join(pair) for pair in draw(st.lists(st.tuples(pieces, pieces), max_size=20))]
    kinds = draw(st.lists(st.integers(-1, 7), min_size=len(tokens), max_size=len(tokens)))
    scores = draw(st.lists(floats, min_size=len(tokens), max_size=len(tokens)))
    numbers = {key: draw(ids) for key in ("bos", "eos", "eot", "eom", "unknown", "separator")}
    keys = ("add_bos", "add_eos", "add_space_prefix", "remove_extra_whitespaces", "lowercase", "strip_accents")
    charsmap = draw(charsmaps | st.binary(max_size=20))
    metadata: dict[str, Any] = numbers | {key: draw(switches) for key in keys}
    metadata["charsmap"] = draw(st.sampled_from([None, (charsmap, len(charsmap))]))
    metadata["pre"] = "whitespace" if model == "whitespace" else draw(st.sampled_from(VARIANTS))
    metadata["name"] = draw(st.sampled_from(["", "Phi-3", "modern-bert"]))
    try:
        return Tokenizer(native(tokens, merges, scores, kinds, model=model, **metadata), None)
    except TokenizerError:
        return None


@pytest.mark.slow
@settings(max_examples=1500, deadline=None)
@given(tokenizer=vocabularies(), raw=texts, add_special=st.booleans(), parse_special=st.booleans())
def test_any_vocabulary_encodes_any_text(
    tokenizer: Tokenizer | None, raw: bytes, add_special: bool, parse_special: bool
) -> None:
    if tokenizer is None:
        return
    found = tokenizer.encode(raw, add_special, parse_special)
    assert all(0 <= id < tokenizer.vocab_size for id in found)
    stream = tokenizer.stream()
    assert "".join([stream.push(id) for id in found] + [stream.flush()]) == tokenizer.decode(found)


@pytest.mark.slow
@pytest.mark.parametrize("pre", [pre for pre in VARIANTS if pre not in ("gemma4", "sarvam-moe", "whitespace")])
@settings(max_examples=40, deadline=None)
@given(raw=texts, merges=st.lists(st.tuples(*[st.sampled_from(byte_alphabet())] * 2), max_size=30, unique=True))
def test_no_expression_loses_a_byte(pre: str, raw: bytes, merges: list[tuple[str, str]]) -> None:
    tokens = [*byte_alphabet(), *("".join(merge) for merge in merges)]
    tokenizer = small_bpe(tokens, [" ".join(merge) for merge in merges], pre=pre)
    assert tokenizer.decode_bytes(tokenizer.encode(raw)) == raw


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(raw=texts.filter(lambda raw: b"\xe2\x96\x81" not in raw and not raw.startswith(b"\xef\xbb\xbf")))
def test_models_with_a_token_for_each_byte_lose_none(raw: bytes) -> None:
    scores = [-1.0] * 258
    for model, pre in (("llama", ""), ("gemma4", ""), ("plamo2", "")):
        tokens: list[str | bytes] = [*BYTES, "▁", "ab"]
        vocabulary = native(tokens, ["a b"], scores, [BYTE] * 256 + [NORMAL] * 2, model=model, pre=pre)
        tokenizer = Tokenizer(vocabulary, None)
        assert tokenizer.decode_bytes(tokenizer.encode(raw)) == raw
