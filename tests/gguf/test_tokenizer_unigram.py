"""Unigram vocabularies against sentencepiece, which trains them here, and its normaliser; hostile charsmaps."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from ostinato.gguf.tokenizer import Tokenizer, TokenizerError
from tests.gguf.pairs import random_text
from tests.gguf.vocabularies import BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED, native

TEXTS = (
    "The capital of France is Paris, and the capital of Norway is Oslo.", "Größe, Élan, naïve façade, cafe\u0301",
    "中文字符測試 日本語のテスト 한국어 조합", "１２３ ｆｕｌｌ ﬁne ① ㍿ ﷺ", "def f(x): return x**2",
    "don't won't I'LL they've", "अनुच्छेद ภาษาไทย العربية",
    "tokens of a text, the texts of tokens", "0123456789 +-*/=<>",
)  # fmt: skip


def fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of a protobuf message that hold bytes, by their numbers."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        number, kind = divmod(varint(), 8)
        if kind == 2:
            size = varint()
            yield number, message[at : at + size]
            at += size
        elif kind == 0:
            varint()
        else:
            at += 4 if kind == 5 else 8


def charsmap_of(model: bytes) -> bytes:
    """precompiled_charsmap (2) of normalizer_spec (3) of a ModelProto (sentencepiece_model.proto)."""
    return dict(fields(dict(fields(model))[3]))[2]


def kind_of(processor: Any, id: int) -> int:
    kinds = {CONTROL: processor.is_control(id), UNKNOWN: processor.is_unknown(id), UNUSED: processor.is_unused(id)}
    kinds[BYTE] = processor.is_byte(id)
    return next((kind for kind, holds in kinds.items() if holds), NORMAL)


@cache
def trained(rule: str, extra_spaces: bool) -> tuple[Tokenizer, Any]:
    """Ours and sentencepiece's own, of one training."""
    sentencepiece = pytest.importorskip("sentencepiece", reason="pip install sentencepiece to compare with it")
    out = io.BytesIO()
    special = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1, "user_defined_symbols": ["<extra>"]}
    size = {"model_type": "unigram", "vocab_size": 260, "hard_vocab_limit": False}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 3),
        model_writer=out,
        normalization_rule_name=rule,
        remove_extra_whitespaces=not extra_spaces,
        minloglevel=2,
        num_threads=1,
        **special,
        **size,
    )
    theirs = sentencepiece.SentencePieceProcessor(model_proto=out.getvalue())
    ids = range(theirs.vocab_size())
    pieces = [theirs.id_to_piece(id) for id in ids]
    charsmap = charsmap_of(out.getvalue())
    ours = native(
        pieces,
        model="t5",
        scores=[theirs.get_score(id) for id in ids],
        types=[USER_DEFINED if piece == "<extra>" else kind_of(theirs, id) for id, piece in enumerate(pieces)],
        charsmap=(charsmap, len(charsmap)) if charsmap else None,
        add_space_prefix=1,
        remove_extra_whitespaces=int(not extra_spaces),
        eos=1,
        unknown=2,
    )
    return Tokenizer(ours, None), theirs


@pytest.mark.parametrize("rule", ["nmt_nfkc", "nmt_nfkc_cf", "nfkc", "identity"])
@pytest.mark.parametrize("extra_spaces", [False, True])
def test_ids_are_those_of_sentencepiece(rule: str, extra_spaces: bool) -> None:
    ours, theirs = trained(rule, extra_spaces)
    rng = random.Random(rule)
    for _ in range(400):
        text = random_text(rng).replace("\0", "") + rng.choice(TEXTS)  # a NUL ends sentencepiece's longest match
        assert ours.encode(text) == theirs.encode(text), repr(text)


def test_what_was_encoded_comes_back() -> None:
    ours, _ = trained("identity", True)
    assert all(ours.decode(ours.encode(text)) == text for text in TEXTS)


def test_the_end_is_marked_and_special_tokens_are_found() -> None:
    ours, _ = trained("nmt_nfkc", False)
    assert ours.encode("Paris", add_special=True) == [*ours.encode("Paris"), 1]
    extra = ours.encode("<extra>")
    assert len(extra) == 1
    assert ours.encode("a<extra>b") == [*ours.encode("a"), *extra, *ours.encode("b")]


def small(charsmap: bytes | None = None, **metadata: Any) -> Tokenizer:
    tokens = ["<pad>", "</s>", "<unk>", "▁", "a", "b", "ab", "x"]
    types = [CONTROL, CONTROL, UNKNOWN] + [NORMAL] * 5
    array = None if charsmap is None else (charsmap, len(charsmap))
    scores = [0, 0, 0, -2.0, -3.0, -3.0, -4.0, -5.0]
    return Tokenizer(native(tokens, model="t5", scores=scores, types=types, charsmap=array, **metadata), None)


def test_the_best_sum_of_scores_wins() -> None:
    tokenizer = small()
    assert tokenizer.encode("ab") == [6]
    assert tokenizer.encode("aab") == [4, 6]
    assert tokenizer.encode("a??b") == [4, 2, 5]  # unknown characters in a row are one token


def blob(units: list[int], replacements: bytes) -> bytes:
    return struct.pack(f"<{1 + len(units)}I", 4 * len(units), *units) + replacements


def test_a_charsmap_by_hand() -> None:
    """A trie of one sequence, "b" -> "ab": the root's children lie at 1 ^ label, the value at 99 ^ 0 of its child."""
    units = [0] * 128
    units[0] = 1 << 10
    units[1 ^ ord("b")] = ord("b") | 1 << 8 | 4 << 10
    units[1 ^ ord("b") ^ 4] = 2 | 1 << 31
    assert small(blob(units, b"x\0ab\0")).encode("b") == [6]


@pytest.mark.parametrize(
    ("charsmap", "message"),
    [
        (b"\4\0\0", "has no room for its header"),
        (struct.pack("<I", 2**32 - 4) + b"abcd\0", "says that its trie has 4294967292 bytes of 5"),
        (struct.pack("<I", 3) + b"abcd\0", "says that its trie has 3 bytes of 5"),
        (struct.pack("<I", 4) + b"abcd", "says that its trie has 4 bytes of 4"),
        (blob([0], b"abc"), "does not end with a zero byte"),
        (blob([0], b"a" * 2000 + b"\0"), "has a replacement of 2000 bytes"),
    ],
)
def test_malformed_charsmaps(charsmap: bytes, message: str) -> None:
    with pytest.raises(TokenizerError, match=f"precompiled_charsmap {message}"):
        small(charsmap)


def test_charsmaps_of_random_units_never_crash() -> None:
    rng = random.Random(5)
    for _ in range(200):
        units = [
            rng.choice([rng.randrange(2**32), rng.randrange(256) << 10 | 0x100 | rng.randrange(97, 123)])
            for _ in range(300)
        ]
        tokenizer = small(blob(units, b"ab\0b\0"))
        assert all(id < 8 for id in tokenizer.encode(rng.randbytes(40) + b"abcabc"))


def test_an_overlong_token() -> None:
    with pytest.raises(TokenizerError, match="token 1 has 2000 bytes, at most 1024 are allowed"):
        native(["a", "b" * 2000], model="t5")
