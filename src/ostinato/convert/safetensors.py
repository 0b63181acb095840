"""A reader for safetensors checkpoints, one file or many: mapped, checked, nothing copied.

The format: u64 length of a JSON header, the header {name: {dtype, shape, data_offsets}}, the data. Described at
huggingface.co/docs/safetensors; as there, data has neither holes nor overlaps.
"""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ostinato.convert.errors import ConvertError
from ostinato.convert.jsonfile import parse_json, read_json
from ostinato.convert.numbers import BF16, F8_E4M3, F8_E5M2, Array

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
MAX_HEADER = 100_000_000  # as the format's own reader has it
MAX_AXES = 8
_LENGTH = 8  # bytes of the header's length

_DTYPES: Mapping[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": BF16,
    "F8_E4M3": F8_E4M3, "F8_E5M2": F8_E5M2,
    "I64": np.dtype("<i8"), "I32": np.dtype("<i4"), "I16": np.dtype("<i2"), "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"), "U32": np.dtype("<u4"), "U16": np.dtype("<u2"), "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"), "F8_E8M0": np.dtype("u1"),
}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """A tensor of a checkpoint, where it lies in its file."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int
    memory: mmap.mmap

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize

    def array(self) -> Array:
        """The tensor on the mapped bytes, read-only."""
        values: Array = np.frombuffer(self.memory, self.dtype, prod(self.shape), self.start)
        return values.reshape(self.shape)


def open_checkpoint(folder: Path) -> dict[str, Source]:
    """All tensors of a folder's safetensors files by name. ConvertError names what is missing or broken."""
    if (folder / INDEX).exists():
        return _shards(folder)
    if (folder / SINGLE).exists():
        return read_safetensors(folder / SINGLE)
    other = sorted(path.name for path in folder.glob("*.bin"))
    hint = f" ({other[0]} holds pickled data, which is not read: save the model as safetensors)" if other else ""
    raise ConvertError(f"{folder}: neither {SINGLE} nor {INDEX} is there{hint}")


def read_safetensors(path: Path) -> dict[str, Source]:
    """The tensors of one file by name."""
    memory = _mapped(path)
    length = int.from_bytes(memory[:_LENGTH], "little")
    if not 2 <= length <= min(MAX_HEADER, len(memory) - _LENGTH):
        raise ConvertError(
            f"{path}: a header of {length} bytes in a file of {len(memory)}: not safetensors, or cut off"
        )
    header = parse_json(memory[_LENGTH : _LENGTH + length], str(path))
    header.pop("__metadata__", None)
    start = _LENGTH + length
    sources = {name: _source(path, name, entry, start, memory) for name, entry in header.items()}
    _check_layout(path, sources, start, len(memory))
    return sources


def _shards(folder: Path) -> dict[str, Source]:
    """What index.json lists. File names are plain names: a checkpoint has no business outside its folder."""
    weight_map = read_json(folder / INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(file, str) for file in weight_map.values()):
        raise ConvertError(f"{folder / INDEX}: 'weight_map' must be an object of file names")
    files = sorted(set(weight_map.values()))
    for file in files:
        if not file or file in (".", "..") or "/" in file or "\\" in file or "\0" in file:
            raise ConvertError(f"{folder / INDEX}: {file!r:.80} is not the name of a file in this folder")
        if not (folder / file).exists():
            raise ConvertError(f"{folder}: {file}, which {INDEX} lists, is missing")
    opened = {file: read_safetensors(folder / file) for file in files}
    for name, file in weight_map.items():
        if name not in opened[file]:
            raise ConvertError(f"{folder / file}: tensor {name!r:.120}, which {INDEX} lists, is missing")
    merged: dict[str, Source] = {}
    for file, sources in opened.items():
        if twice := merged.keys() & sources.keys():
            raise ConvertError(f"{folder / file}: tensor {min(twice)!r:.120} is in another file as well")
        merged |= sources
    return merged


def _mapped(path: Path) -> mmap.mmap:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # NONBLOCK: a FIFO has no writer
    except OSError as error:
        raise ConvertError(f"{path}: cannot be opened: {error.strerror}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size <= _LENGTH:
            raise ConvertError(f"{path}: not a regular file, or empty; expected safetensors")
        return mmap.mmap(descriptor, status.st_size, access=mmap.ACCESS_READ)
    finally:
        os.close(descriptor)


def _source(path: Path, name: str, entry: Any, start: int, memory: mmap.mmap) -> Source:
    """One entry of the header, checked."""
    what = f"{path}: tensor {name!r:.120}"
    if not isinstance(entry, dict):
        raise ConvertError(f"{what} is no object")
    dtype: Any = entry.get("dtype")
    shape: Any = entry.get("shape")
    offsets: Any = entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ConvertError(f"{what} has dtype {dtype!r:.20}; known: {', '.join(_DTYPES)}")
    if not _naturals(shape) or len(shape) > MAX_AXES or not _naturals(offsets) or len(offsets) != 2:
        raise ConvertError(f"{what}: shape {shape!r:.60} and offsets {offsets!r:.60} must be natural numbers")
    begin, end = offsets
    if end - begin != prod(shape) * _DTYPES[dtype].itemsize:
        raise ConvertError(f"{what} of {dtype} {shape} lies at {begin} to {end}, which is not its size")
    return Source(name, _DTYPES[dtype], tuple(shape), start + begin, memory)


def _naturals(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 1 << 48 for value in values)


def _check_layout(path: Path, sources: Mapping[str, Source], start: int, size: int) -> None:
    """Tensors follow each other without hole or overlap up to the file's end."""
    position = start
    for source in sorted(sources.values(), key=lambda source: (source.start, source.nbytes)):
        if source.start != position:
            raise ConvertError(f"{path}: tensor {source.name!r:.120} lies at {source.start}, expected {position}")
        position += source.nbytes
    if position != size:
        raise ConvertError(f"{path}: tensors end at {position}, the file at {size}: it is cut off or padded")
