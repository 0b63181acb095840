"""Writes GGUF files (version 3): metadata, then tensors streamed block by block, then one rename.

with GGUFWriter("out.gguf") as writer:
    writer.add("general.architecture", "llama")
    writer.add_tensor("output.weight", (1000, 64), TensorType.F32)
    writer.write("output.weight", weights)
"""

from __future__ import annotations

import os
import secrets
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

from ostinato.gguf.encode import Addable, encode_string, encode_value
from ostinato.gguf.header import DEFAULT_ALIGNMENT, MAGIC, MAX_DIMENSIONS, MAX_KEY, MAX_NAME
from ostinato.gguf.types_table import TensorType, ValueType, nbytes

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

VERSION = 3


@dataclass
class _Planned:
    """A declared tensor: where its data begins (from the start of the data) and how much of it is written."""

    type: TensorType
    shape: tuple[int, ...]
    offset: int
    size: int
    written: int = 0


class GGUFWriter:
    """A GGUF file in the making: `add` metadata, `add_tensor` all tensors, then `write` their data in any order.

    Everything goes to a temporary file beside `path`, which takes its place at the end of the `with` block, when all
    is written; after an exception nothing is left. Mistakes of the caller raise ValueError.
    """

    def __init__(self, path: str | os.PathLike[str], alignment: int = DEFAULT_ALIGNMENT) -> None:
        if not 0 < alignment < 1 << 32 or alignment.bit_count() != 1:
            raise ValueError(f"alignment {alignment} is not a power of two below 2^32")
        self.path = Path(path)
        self.alignment = alignment
        self._entries: dict[str, bytes] = {}
        self._tensors: dict[str, _Planned] = {}
        self._data_size = 0  # of the tensors declared so far, padded
        self._data_start: int | None = None  # known once the header is written
        self._temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        self._file: BinaryIO | None = None
        if alignment != DEFAULT_ALIGNMENT:
            self.add("general.alignment", alignment, ValueType.UINT32)

    def add(self, key: str, value: Addable, type: ValueType | None = None) -> None:
        """Add one key. `type` is that of the value, or of the elements of a sequence.

        Without it: bool is BOOL, int the first of UINT32, INT32, UINT64, INT64 that holds all elements (sequences:
        INT32 first, as other writers do), float FLOAT32, text STRING, a sequence of sequences ARRAY. An ArrayView
        (of another file) keeps its own type.
        """
        name = key.encode()
        if not 0 < len(name) <= MAX_KEY:
            raise ValueError(f"a key has 1 to {MAX_KEY} bytes, not {len(name)}")
        if key in self._entries:
            raise ValueError(f"key {key!r} is there already")
        if self._data_start is not None:
            raise ValueError(f"key {key!r} comes after the first tensor data")
        try:
            self._entries[key] = encode_string(name) + encode_value(value, type)
        except (struct.error, OverflowError, TypeError, AttributeError) as error:
            raise ValueError(f"key {key!r}: {value!r:.60} does not fit its type: {error}") from None

    def add_tensor(self, name: str, shape: Sequence[int], type: TensorType) -> None:
        """Declare a tensor; `shape` is in NumPy's order, rows first. Its data lies behind that of the last one."""
        if not 0 < len(name.encode()) <= MAX_NAME:
            raise ValueError(f"a tensor's name has 1 to {MAX_NAME} bytes: {name!r}")
        if name in self._tensors:
            raise ValueError(f"tensor {name!r} is there already")
        if self._data_start is not None:
            raise ValueError(f"tensor {name!r} is declared after the first data")
        if not 1 <= len(shape) <= MAX_DIMENSIONS or min(shape) < 0 or prod(shape) >= (1 << 63) - 1:
            raise ValueError(f"tensor {name!r} has an impossible shape {tuple(shape)}")
        size = nbytes(type, shape)
        self._tensors[name] = _Planned(type, tuple(shape), self._data_size, size)
        self._data_size += self._padded(size)

    def write(self, name: str, data: ReadableBuffer) -> None:
        """Write the next bytes of a tensor: all of them, or a part that later calls complete.

        `data` is anything with the buffer protocol (a NumPy array's elements are written in C order).
        """
        if name not in self._tensors:
            raise ValueError(f"tensor {name!r} was not declared")
        tensor = self._tensors[name]
        view = memoryview(data)
        if tensor.written + view.nbytes > tensor.size:
            raise ValueError(f"tensor {name!r} has {tensor.size} bytes; {tensor.written + view.nbytes} were given")
        file, start = self._data_section()
        file.seek(start + tensor.offset + tensor.written)
        file.write(view if view.c_contiguous else view.tobytes())
        tensor.written += view.nbytes

    def __enter__(self) -> Self:
        self._file = self._temporary.open("xb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
                os.replace(self._temporary, self.path)
        finally:
            if self._file is not None:
                self._file.close()
            self._temporary.unlink(missing_ok=True)

    def _finish(self) -> None:
        for name, tensor in self._tensors.items():
            if tensor.written < tensor.size:
                raise ValueError(f"tensor {name!r} has {tensor.size} bytes, but only {tensor.written} were written")
        file, start = self._data_section()
        file.truncate(start + self._data_size)  # the padding behind the last tensor
        file.flush()
        os.fsync(file.fileno())

    def _data_section(self) -> tuple[BinaryIO, int]:
        """The open file and where its data begins; the first call writes the header, which is then settled."""
        if self._file is None:
            raise ValueError("a GGUFWriter writes within its `with` block")
        if self._data_start is None:
            header = self._header()
            self._data_start = self._padded(len(header))
            self._file.write(header.ljust(self._data_start, b"\0"))
        return self._file, self._data_start

    def _header(self) -> bytes:
        pieces = [MAGIC, struct.pack("<IQQ", VERSION, len(self._tensors), len(self._entries)), *self._entries.values()]
        for name, tensor in self._tensors.items():
            pieces.append(encode_string(name.encode()))
            pieces.append(struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *reversed(tensor.shape)))
            pieces.append(struct.pack("<IQ", tensor.type, tensor.offset))
        return b"".join(pieces)

    def _padded(self, size: int) -> int:
        return -(-size // self.alignment) * self.alignment
