"""Metadata values: plain Python for scalars, a lazy view on the mapped bytes for arrays."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ostinato import _gguf
from ostinato.gguf.types_table import ValueType

if TYPE_CHECKING:
    import numpy as np

LENGTH = struct.Struct("<Q")
ARRAY_HEAD = struct.Struct("<IQ")  # type of the elements, their count


@dataclass(frozen=True)
class ArrayView:
    """An array of the metadata, where it lies in the file; elements become Python objects only when asked for.

    `type` and `count` of the elements; `offset` of the first one in its file; `raw`, their bytes. For strings, `raw`
    is the run of u64 length and bytes of each; for arrays of arrays, of u32 type, u64 count and elements of each.
    The reader has checked that `raw` holds exactly `count` elements.
    """

    type: ValueType
    count: int
    offset: int
    raw: memoryview

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[MetadataValue]:
        return iter(self._values)

    def __getitem__(self, index: int) -> MetadataValue:
        return self._values[index]

    def __repr__(self) -> str:
        return f"<{self.count} x {self.type.name} at byte {self.offset}>"

    def numpy(self) -> np.ndarray:
        """The elements as an array on `raw` itself, read-only (a copy for bool). TypeError if they are not numbers."""
        import numpy as np

        if not self.type.size:
            raise TypeError(f"an array of {self.type.name} is not numeric")
        values: np.ndarray = np.frombuffer(self.raw, f"<{self.type.format}")
        return values != 0 if self.type is ValueType.BOOL else values

    @cached_property
    def _values(self) -> list[MetadataValue]:
        if self.type is ValueType.STRING:
            return list(_strings(self.raw, self.count))
        if self.type is ValueType.ARRAY:
            return list(_arrays(self.raw, self.count, self.offset))
        values = struct.unpack(f"<{self.count}{self.type.format}", self.raw)
        return [value != 0 for value in values] if self.type is ValueType.BOOL else list(values)


# `bytes` stands for a string that is not UTF-8.
MetadataValue = int | float | bool | str | bytes | ArrayView


def decode_text(raw: bytes) -> str | bytes:
    """The text, or the bytes themselves where they are not UTF-8 (the format promises it, files break it)."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def array_bytes(memory: memoryview, type: ValueType, count: int, offset: int) -> int:
    """Bytes of `count` elements that lie at `offset`; they must have been checked to lie within `memory`."""
    if type is ValueType.STRING:
        return _gguf.skip_strings(memory, offset, count)[1] - offset
    if type is not ValueType.ARRAY:
        return count * type.size
    end = offset
    for _ in range(count):
        inner, inner_count = ARRAY_HEAD.unpack_from(memory, end)
        end += ARRAY_HEAD.size
        end += array_bytes(memory, ValueType(inner), inner_count, end)
    return end - offset


def _strings(raw: memoryview, count: int) -> Iterator[str | bytes]:
    position = 0
    for _ in range(count):
        (length,) = LENGTH.unpack_from(raw, position)
        position += LENGTH.size
        yield decode_text(bytes(raw[position : position + length]))
        position += length


def _arrays(raw: memoryview, count: int, offset: int) -> Iterator[ArrayView]:
    position = 0
    for _ in range(count):
        type, inner = ARRAY_HEAD.unpack_from(raw, position)
        position += ARRAY_HEAD.size
        size = array_bytes(raw, ValueType(type), inner, position)
        yield ArrayView(ValueType(type), inner, offset + position, raw[position : position + size])
        position += size
