"""Opens GGUF files: memory-mapped, checked whole before anything is handed out, split files as one.

with open_gguf("model.gguf") as file:
    file.require("general.architecture", str)
    file.tensors["output.weight"].data      # uint8, the mapped bytes themselves
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ostinato.gguf.errors import GGUFError
from ostinato.gguf.header import Header, TensorInfo, parse
from ostinato.gguf.mapping import MappedFile
from ostinato.gguf.types_table import TensorType, ValueType
from ostinato.gguf.values import LENGTH, ArrayView, MetadataValue

if TYPE_CHECKING:
    import numpy as np

T = TypeVar("T", int, float, bool, str, ArrayView)

_SPLIT_NAME = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf", re.DOTALL)


@dataclass(frozen=True)
class Part:
    """One file of a model: where it lies, its bytes, what its header says."""

    file: MappedFile
    header: Header

    @property
    def path(self) -> Path:
        return self.file.path


@dataclass(frozen=True)
class Tensor:
    """A tensor of the file: `nbytes` bytes at `offset` (from the start of the file `part`).

    `shape` is in NumPy's order: a matrix of ggml's ne = [K, N] has shape (N, K), N rows of K elements.
    """

    name: str
    type: TensorType
    shape: tuple[int, ...]
    offset: int
    nbytes: int
    part: Part = field(repr=False)

    @property
    def data(self) -> np.ndarray:
        """The stored bytes: a read-only uint8 [nbytes] view on the mapping. GGUFError if the file has no data."""
        import numpy as np

        memory = self.part.file.memory
        if not self.part.header.has_data:
            lacking = "is missing: the file ends after its header; fetch the whole file"
            raise GGUFError(self.part.path, self.offset, f"data of tensor {self.name!r}", lacking)
        return np.frombuffer(memory, np.uint8, count=self.nbytes, offset=self.offset)


class GGUFFile:
    """An open model: metadata and tensors, of all its parts. Close it, or use it as a context manager.

    `metadata` is that of the first part, `tensors` has those of all parts in the order in which they lie there.
    Views that are out when it is closed stay valid: the mapping goes with the last of them.
    """

    def __init__(self, path: Path, parts: tuple[Part, ...]) -> None:
        first = parts[0].header
        self.path = path
        self.parts = parts
        self.version = first.version
        self.alignment = first.alignment
        self.metadata: Mapping[str, MetadataValue] = MappingProxyType(first.metadata)
        self.tensors: Mapping[str, Tensor] = MappingProxyType(_merged(parts))

    def require(self, key: str, type: type[T]) -> T:
        """The value of `key`, which must be there and of `type` (an integer serves as float). Raises GGUFError."""
        if key not in self.metadata:
            raise GGUFError(self.path, None, f"key {key!r}", f"is missing; expected a value of type {_name(type)}")
        return self._checked(key, type)

    def get(self, key: str, default: T) -> T:
        """The value of `key`, of the type of `default`; `default` where the key is absent. Raises GGUFError."""
        return self._checked(key, type(default)) if key in self.metadata else default

    def value_type(self, key: str) -> ValueType:
        """The type with which the value of `key` is stored (KeyError if there is no such key)."""
        first = self.parts[0]
        at = first.header.key_offsets[key] + LENGTH.size + len(key.encode())
        return ValueType(int.from_bytes(first.file.memory[at : at + 4], "little"))

    @property
    def nbytes(self) -> int:
        """Of all parts."""
        return sum(part.file.memory.nbytes for part in self.parts)

    def populate(self, but: Sequence[Sequence[tuple[int, int]]] = ()) -> None:
        """Begin to read what is not in memory, beside whatever comes next; for who will soon use all weights. `but` has
        runs (start, stop) of each part that stay where they are, in order and apart."""
        for part, runs in zip(self.parts, but or [()] * len(self.parts), strict=True):
            part.file.populate(runs)

    def sparse(self) -> None:
        """From now on only what is touched is read, and nothing around it; for who may not use all weights."""
        for part in self.parts:
            part.file.sparse()

    def close(self) -> None:
        """Let go of the files."""
        for part in self.parts:
            part.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _checked(self, key: str, kind: type[T]) -> T:
        value: Any = self.metadata[key]
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is kind:
            return value
        found = "text that is not UTF-8" if isinstance(value, bytes) else f"a value of type {_name(type(value))}"
        offset = self.parts[0].header.key_offsets[key]
        raise GGUFError(self.parts[0].path, offset, f"key {key!r}", f"holds {found}; expected {_name(kind)}")


def open_gguf(path: str | os.PathLike[str]) -> GGUFFile:
    """Open and check a GGUF file, with all its parts if it is one of a split model. Raises GGUFError.

    A file that ends where its tensors' data would begin opens too (a header by itself); its tensors have no `data`.
    """
    path = Path(path)
    first = _open_part(path)
    count = _split_number(first, "split.count", 1)
    return GGUFFile(path, (first,) if count <= 1 else _open_parts(first, count))


def _open_part(path: Path) -> Part:
    file = MappedFile(path)
    return Part(file, parse(path, file.memory))


def _open_parts(given: Part, count: int) -> tuple[Part, ...]:
    """All `count` parts in order; `given` is one of them."""
    match = _SPLIT_NAME.fullmatch(given.path.name)
    if match is None or int(match[3]) != count:
        expected = f"{count}; a part's name ends in -00001-of-{count:05}.gguf"
        raise GGUFError(given.path, given.header.key_offsets["split.count"], "key 'split.count'", expected)
    parts = []
    for index in range(count):
        path = given.path.with_name(f"{match[1]}-{index + 1:05}-of-{count:05}.gguf")
        part = given if path == given.path else _open_part(path)
        _expect(part, "split.no", index)
        _expect(part, "split.count", count)
        parts.append(part)
    if "split.tensors.count" in parts[0].header.metadata:
        _expect(parts[0], "split.tensors.count", sum(len(part.header.tensors) for part in parts))
    return tuple(parts)


def _expect(part: Part, key: str, expected: int) -> None:
    found = _split_number(part, key, None)
    if found != expected:
        raise GGUFError(part.path, part.header.key_offsets.get(key), f"key {key!r}", f"{found}; expected {expected}")


def _split_number(part: Part, key: str, default: int | None) -> Any:
    value = part.header.metadata.get(key, default)
    if value is not default and type(value) is not int:
        raise GGUFError(part.path, part.header.key_offsets[key], f"key {key!r}", f"{value!r}; expected an integer")
    return value


def _merged(parts: tuple[Part, ...]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for part in parts:
        for info in part.header.tensors:
            if info.name in tensors:
                first = tensors[info.name].part.path.name
                raise GGUFError(part.path, None, f"tensor {info.name!r}", f"is in an earlier part too ({first})")
            tensors[info.name] = _tensor(info, part)
    return tensors


def _tensor(info: TensorInfo, part: Part) -> Tensor:
    return Tensor(info.name, info.type, info.shape, info.offset, info.nbytes, part)


def _name(kind: type) -> str:
    return "array" if kind is ArrayView else kind.__name__
