"""tokenizer.model (SentencePiece's protobuf) -> Vocabulary.

Field numbers are those of sentencepiece_model.proto; the wire format is protobuf's: a key (field and kind), then a
varint, eight bytes, a length and so many bytes, or four bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from ostinato.convert.errors import ConvertError
from ostinato.convert.vocabulary.pieces import TokenType, Vocabulary, blank, byte_array, check_id

UNIGRAM, BPE = 1, 2  # TrainerSpec.model_type
_MAX_VARINT = 10  # bytes
Field = tuple[int, int | bytes]

# SentencePiece.Type has the same numbers as GGUF's token types.
_MODELS = {UNIGRAM: "t5", BPE: "llama"}


@dataclass(frozen=True)
class Special:
    """Ids that the model itself names; -1: none."""

    unknown: int = 0
    bos: int = 1
    eos: int = 2
    padding: int = -1


def read_model(raw: bytes, size: int, where: str) -> tuple[Vocabulary, Special]:
    """The vocabulary, padded to `size` rows of the embedding, and its special ids."""
    pieces: list[tuple[str, float, int]] = []
    trainer: dict[int, int | bytes] = {}
    normalizer: dict[int, int | bytes] = {}
    for number, value in _fields(raw, where):
        if number == 1 and isinstance(value, bytes):
            pieces.append(_piece(value, where))
        elif number == 2 and isinstance(value, bytes):
            trainer = dict(_fields(value, where))
        elif number == 3 and isinstance(value, bytes):
            normalizer = dict(_fields(value, where))
    kind = trainer.get(3, UNIGRAM)
    if not pieces or kind not in _MODELS:
        raise ConvertError(f"{where}: not a SentencePiece model of type unigram or BPE")
    vocabulary = blank(size, _MODELS[int(kind)], "default", scored=True)
    for id, (text, score, type) in enumerate(pieces):
        known = TokenType(type) if type in set(TokenType) else TokenType.NORMAL
        vocabulary.set(check_id(id, size, f"{where}: piece {text!r:.40}"), text, known, score)
    vocabulary.extra["add_space_prefix"] = bool(normalizer.get(3, 1))
    if kind == UNIGRAM:
        vocabulary.extra["remove_extra_whitespaces"] = bool(normalizer.get(4, 1))
        charsmap = normalizer.get(2)
        if isinstance(charsmap, bytes) and charsmap:
            vocabulary.extra["precompiled_charsmap"] = byte_array(charsmap)
    ids = [_signed(trainer.get(number, default)) for number, default in ((40, 0), (41, 1), (42, 2), (43, -1))]
    return vocabulary, Special(*ids)


def _piece(raw: bytes, where: str) -> tuple[str, float, int]:
    fields = dict(_fields(raw, where))
    text, score, type = fields.get(1, b""), fields.get(2, bytes(4)), fields.get(3, 1)
    if not isinstance(text, bytes) or not isinstance(score, bytes) or len(score) != 4 or not isinstance(type, int):
        raise ConvertError(f"{where}: a broken piece")
    try:
        return text.decode(), struct.unpack("<f", score)[0], type
    except UnicodeDecodeError:
        raise ConvertError(f"{where}: a piece that is not UTF-8") from None


def _fields(raw: bytes, where: str) -> Iterator[Field]:
    """Number and value of each field: an integer, or bytes."""
    position = 0
    while position < len(raw):
        key, position = _varint(raw, position, where)
        match key & 7:
            case 0:
                value, position = _varint(raw, position, where)
                yield key >> 3, value
                continue
            case 1:
                length = 8
            case 2:
                length, position = _varint(raw, position, where)
            case 5:
                length = 4
            case _:
                raise ConvertError(f"{where}: not a protobuf at byte {position}")
        if length > len(raw) - position:
            raise ConvertError(f"{where}: cut off at byte {position}")
        yield key >> 3, raw[position : position + length]
        position += length


def _varint(raw: bytes, position: int, where: str) -> tuple[int, int]:
    value = 0
    for shift, byte in enumerate(raw[position : position + _MAX_VARINT]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, position + shift + 1
    raise ConvertError(f"{where}: a broken number at byte {position}")


def _signed(value: int | bytes) -> int:
    """An int32, which protobuf writes as 64 bits where it is negative."""
    number = value if isinstance(value, int) else -1
    return number - (1 << 64) if number >> 63 else number
