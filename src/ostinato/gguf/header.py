"""Parses everything before the tensor data of one file: header, metadata, tensor descriptions.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; where it leaves a choice, this accepts what
llama.cpp's `gguf.cpp` accepts. Nothing read from the file is used before it is checked; every count is compared with
the bytes that are left, so that no loop or allocation exceeds what the file itself pays for.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path

from ostinato import _gguf
from ostinato.gguf.errors import GGUFError
from ostinato.gguf.types_table import TensorType, ValueType, nbytes
from ostinato.gguf.values import ARRAY_HEAD, LENGTH, ArrayView, MetadataValue, decode_text

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32
MAX_DIMENSIONS = 4  # GGML_MAX_DIMS
MAX_NAME = 63  # bytes of a tensor's name: GGML_MAX_NAME is 64 with the closing NUL
MAX_KEY = 65535  # bytes of a key, by the specification

# Far above any real file; they keep a hostile (for instance sparse) file of terabytes from being walked for hours.
MAX_KEYS = 1 << 16
MAX_TENSORS = 1 << 18
MAX_TEXT = 1 << 26  # bytes of all keys, names and string values of a file
MAX_STRINGS = 1 << 24  # elements of one array of strings
MAX_NESTED = 1 << 16  # inner arrays of a file
MAX_DEPTH = 4  # arrays in arrays

SMALLEST_KEY = LENGTH.size + 1 + 4 + 1  # length, one byte of key, type, one byte of value
SMALLEST_TENSOR = LENGTH.size + 4 + 4 + 8  # length, empty name, no dimensions, type, offset

_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_SCALARS = {type: struct.Struct(f"<{type.format}") for type in ValueType if type.format}
_TENSOR_TAIL = struct.Struct("<IQ")  # type, offset


@dataclass(frozen=True)
class TensorInfo:
    """Where a tensor lies; `shape` is rows first, `offset` is from the start of the file."""

    name: str
    type: TensorType
    shape: tuple[int, ...]
    offset: int
    nbytes: int


@dataclass(frozen=True)
class Header:
    """What one file says. `key_offsets`: the byte at which each key's entry begins.

    `has_data` is False for a file that ends where its tensors' data would begin: a header by itself.
    """

    version: int
    alignment: int
    metadata: dict[str, MetadataValue]
    key_offsets: dict[str, int]
    tensors: tuple[TensorInfo, ...]
    has_data: bool


def parse(path: Path, memory: memoryview) -> Header:
    """Parse the file's bytes. Raises GGUFError at the first thing that is not sound."""
    return _Parser(path, memory).header()


class _Parser:
    """A position in the file, and what is read at it."""

    def __init__(self, path: Path, memory: memoryview) -> None:
        self.path = path
        self.memory = memory
        self.position = 0
        self.nested = 0  # inner arrays seen so far
        self.text_left = MAX_TEXT

    # --- pieces -----------------------------------------------------------------------------------------------------

    @property
    def remaining(self) -> int:
        return len(self.memory) - self.position

    def error(self, field: str, expectation: str, offset: int | None = None) -> GGUFError:
        return GGUFError(self.path, self.position if offset is None else offset, field, expectation)

    def need(self, size: int, field: str) -> None:
        if size > self.remaining:
            raise self.error(field, f"needs {size} bytes, but the file ends after {self.remaining}")

    def unpack(self, codec: struct.Struct, field: str) -> tuple[int, ...]:
        self.need(codec.size, field)
        values = codec.unpack_from(self.memory, self.position)
        self.position += codec.size
        return values

    def text(self, field: str, limit: int = MAX_TEXT) -> bytes:
        start = self.position
        (length,) = self.unpack(LENGTH, f"length of {field}")
        if length > min(limit, self.text_left):
            expected = f"{length} bytes; expected at most {min(limit, self.text_left)}"
            raise self.error(f"length of {field}", expected, start)
        self.need(length, field)
        self.position += length
        self.text_left -= length
        return bytes(self.memory[self.position - length : self.position])

    def identifier(self, field: str, limit: int) -> str:
        start = self.position
        text = decode_text(self.text(field, limit))
        if isinstance(text, bytes):
            raise self.error(field, f"{text[:40]!r} is not UTF-8", start)
        return text

    # --- the file ---------------------------------------------------------------------------------------------------

    def header(self) -> Header:
        version = self.preamble()
        tensor_count = self.count("tensor count", MAX_TENSORS, SMALLEST_TENSOR)
        key_count = self.count("key count", MAX_KEYS, SMALLEST_KEY)
        metadata, key_offsets = self.metadata(key_count)
        alignment = self.alignment(metadata, key_offsets)
        tensors, has_data = self.tensors(tensor_count, alignment)
        return Header(version, alignment, metadata, key_offsets, tensors, has_data)

    def preamble(self) -> int:
        self.need(len(MAGIC), "magic")
        magic = bytes(self.memory[: len(MAGIC)])
        if magic != MAGIC:
            raise self.error("magic", f"{magic!r}; expected {MAGIC!r}: this is not a GGUF file")
        self.position = len(MAGIC)
        (version,) = self.unpack(_U32, "version")
        if version in VERSIONS:
            return version
        if version and not version & 0xFFFF:
            raise self.error("version", "the file is big-endian; only little-endian files can be read", 4)
        raise self.error("version", f"{version}; expected {' or '.join(map(str, VERSIONS))}", 4)

    def count(self, field: str, limit: int, smallest: int) -> int:
        start = self.position
        (count,) = self.unpack(_U64, field)
        fitting = min(limit, self.remaining // smallest)
        if count > fitting:
            size = len(self.memory)
            raise self.error(
                field, f"{count} is too many for a file of {size} bytes; expected at most {fitting}", start
            )
        return count

    # --- metadata ---------------------------------------------------------------------------------------------------

    def metadata(self, count: int) -> tuple[dict[str, MetadataValue], dict[str, int]]:
        values: dict[str, MetadataValue] = {}
        offsets: dict[str, int] = {}
        for index in range(count):
            start = self.position
            key = self.identifier(f"key {index}", MAX_KEY)
            if not key:
                raise self.error(f"key {index}", "is empty; expected a name", start)
            if key in values:
                raise self.error(f"key {key!r}", f"occurs twice; the first is at byte {offsets[key]}", start)
            values[key] = self.value(self.value_type(f"type of {key!r}"), f"value of {key!r}")
            offsets[key] = start
        return values, offsets

    def value_type(self, field: str) -> ValueType:
        (number,) = self.unpack(_U32, field)
        if number > max(ValueType):
            expected = f"expected 0 ({ValueType(0).name}) to {max(ValueType)} ({max(ValueType).name})"
            raise self.error(field, f"unknown value type {number}; {expected}", self.position - 4)
        return ValueType(number)

    def value(self, type: ValueType, field: str) -> MetadataValue:
        if type is ValueType.STRING:
            return decode_text(self.text(field))
        if type is ValueType.ARRAY:
            return self.array(field, 1)
        (value,) = self.unpack(_SCALARS[type], field)
        return value != 0 if type is ValueType.BOOL else value

    def array(self, field: str, depth: int) -> ArrayView:
        type = self.value_type(f"element type of the {field}")
        (count,) = self.unpack(_U64, f"length of the {field}")
        start = self.position
        smallest = {ValueType.STRING: LENGTH.size, ValueType.ARRAY: ARRAY_HEAD.size}.get(type, type.size)
        if count * smallest > self.remaining:
            expected = f"expected at most {self.remaining // smallest}, for the file ends there"
            raise self.error(f"length of the {field}", f"{count} elements; {expected}", start - _U64.size)
        if type is ValueType.STRING:
            self.skip_strings(field, count)
        elif type is ValueType.ARRAY:
            self.skip_arrays(field, count, depth)
        else:
            self.position += count * type.size
        return ArrayView(type, count, start, self.memory[start : self.position])

    def skip_strings(self, field: str, count: int) -> None:
        if count > MAX_STRINGS:
            raise self.error(f"length of the {field}", f"{count} strings; expected at most {MAX_STRINGS}")
        walked, self.position = _gguf.skip_strings(self.memory, self.position, count)
        if walked < count:
            raise self.error(f"string {walked} of {count} in the {field}", "does not fit in the file")

    def skip_arrays(self, field: str, count: int, depth: int) -> None:
        if depth == MAX_DEPTH:
            raise self.error(field, f"arrays nested more than {MAX_DEPTH} deep")
        self.nested += count
        if self.nested > MAX_NESTED:
            raise self.error(field, f"more than {MAX_NESTED} arrays within arrays")
        for _ in range(count):
            self.array(field, depth + 1)

    def alignment(self, metadata: dict[str, MetadataValue], offsets: dict[str, int]) -> int:
        key = "general.alignment"
        if key not in metadata:
            return DEFAULT_ALIGNMENT
        start = offsets[key]
        (number,) = _U32.unpack_from(self.memory, start + LENGTH.size + len(key))
        if number != ValueType.UINT32:
            raise self.error(f"type of {key!r}", f"{ValueType(number).name}; expected UINT32", start)
        alignment = metadata[key]
        if not isinstance(alignment, int) or alignment.bit_count() != 1:
            raise self.error(f"value of {key!r}", f"{alignment!r}; expected a power of two", start)
        return alignment

    # --- tensors ----------------------------------------------------------------------------------------------------

    def tensors(self, count: int, alignment: int) -> tuple[tuple[TensorInfo, ...], bool]:
        names: set[str] = set()
        infos = [self.tensor(index, names) for index in range(count)]
        if not infos:
            return (), True
        start = _padded(self.position, alignment)
        self.need(start - self.position, "padding before the tensor data")
        end = start
        for info, at in infos:
            if start + info.offset != end:
                expected = f"expected {end - start}, behind the tensor before it"
                raise self.error(f"offset of tensor {info.name!r}", f"{info.offset}; {expected}", at)
            end += _padded(info.nbytes, alignment)
        has_data = end == start or len(self.memory) > start
        if end >= 1 << 63 or (has_data and end > len(self.memory)):
            lacking = f"ends at byte {end}, but the file has {len(self.memory)} bytes; it may be truncated"
            raise self.error("tensor data", lacking, min(start, len(self.memory)))
        return tuple(TensorInfo(t.name, t.type, t.shape, start + t.offset, t.nbytes) for t, _ in infos), has_data

    def tensor(self, index: int, names: set[str]) -> tuple[TensorInfo, int]:
        """A description with its offset still relative to the data, and the byte at which that offset stands."""
        start = self.position
        name = self.identifier(f"name of tensor {index}", MAX_NAME)
        if name in names:
            raise self.error(f"name of tensor {index}", f"{name!r} occurs twice", start)
        if "\0" in name:
            raise self.error(f"name of tensor {index}", f"{name!r} holds a NUL, which ends it in other tools", start)
        names.add(name)
        shape = self.shape(name)
        start = self.position
        type_number, offset = self.unpack(_TENSOR_TAIL, f"type and offset of tensor {name!r}")
        try:
            type = TensorType(type_number)
            size = nbytes(type, shape)
        except ValueError as error:
            raise self.error(f"type of tensor {name!r}", str(error), start) from None
        return TensorInfo(name, type, shape, offset, size), start + 4

    def shape(self, name: str) -> tuple[int, ...]:
        start = self.position
        (dimensions,) = self.unpack(_U32, f"number of dimensions of tensor {name!r}")
        if dimensions > MAX_DIMENSIONS:
            expected = f"{dimensions} dimensions; expected at most {MAX_DIMENSIONS}"
            raise self.error(f"shape of tensor {name!r}", expected, start)
        sizes = self.unpack(struct.Struct(f"<{dimensions}Q"), f"shape of tensor {name!r}") or (1,)
        if any(size >= 1 << 63 for size in sizes) or prod(sizes) >= (1 << 63) - 1:
            raise self.error(f"shape of tensor {name!r}", f"{list(sizes)} elements; expected less than 2^63", start + 4)
        return sizes[::-1]


def _padded(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment
