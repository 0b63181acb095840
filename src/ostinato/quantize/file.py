"""Quantises a GGUF file into another one, tensor by tensor, a slice at a time: the model is never in memory whole."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from ostinato.gguf.errors import GGUFError
from ostinato.gguf.reader import GGUFFile
from ostinato.gguf.types_table import TensorType, ValueType
from ostinato.gguf.values import ArrayView
from ostinato.gguf.writer import GGUFWriter
from ostinato.quantize.encode import encode_slices
from ostinato.quantize.mixes import PLAIN, QUANTIZATION_VERSION, Mix
from ostinato.quantize.rules import ModelFacts, Overrides, choose_types, fitting, is_quantised, layer_of

# Of a file by itself: the parts become one, in the writer's own alignment.
_DROPPED = ("split.no", "split.count", "split.tensors.count", "general.alignment")


@dataclass(frozen=True)
class Plan:
    """What will become of a file. `types`: of every tensor by name, in the file's order; bytes are of tensors."""

    mix: Mix
    types: Mapping[str, TensorType]
    elements: int
    bytes_before: int
    bytes_after: int
    requantised: tuple[str, ...]  # tensors that were quantised before, and get another type
    fallbacks: tuple[str, ...]  # tensors whose rows do not hold whole blocks of the type they should have


def make_plan(file: GGUFFile, mix: Mix, overrides: Overrides | None = None) -> Plan:
    """Decide on every tensor. Raises GGUFError for metadata of unexpected types."""
    tensors = file.tensors.values()
    chosen = choose_types(tensors, read_facts(file), mix, overrides)
    changed = [tensor for tensor in tensors if chosen[tensor.name] is not tensor.type]
    return Plan(
        mix=mix,
        types={tensor.name: chosen[tensor.name] for tensor in tensors},
        elements=sum(prod(tensor.shape) for tensor in tensors),
        bytes_before=sum(tensor.nbytes for tensor in tensors),
        bytes_after=sum(_bytes(prod(tensor.shape), chosen[tensor.name]) for tensor in tensors),
        requantised=tuple(tensor.name for tensor in changed if tensor.type not in PLAIN),
        fallbacks=tuple(
            tensor.name
            for tensor in tensors
            if is_quantised(tensor) and fitting(mix.base, tensor.shape[-1]) is not mix.base
        ),
    )


def write_quantised(
    file: GGUFFile, plan: Plan, path: Path, threads: int, advance: Callable[[int], None] | None = None
) -> None:
    """Write the file that was planned; `advance` is told of every so many bytes read.

    Nothing is left at `path` unless all went well; what was there before stays until then. Raises GGUFError for
    values that cannot be quantised (it names the tensor), OSError for what the disk refuses.
    """
    check_room(file, path, plan.bytes_after)
    with GGUFWriter(path) as writer:
        _copy_metadata(file, writer, plan.mix)
        for tensor in file.tensors.values():
            writer.add_tensor(tensor.name, tensor.shape, plan.types[tensor.name])
        for tensor in file.tensors.values():
            for read, blocks in encode_slices(tensor, plan.types[tensor.name], threads):
                writer.write(tensor.name, blocks.data)
                if advance is not None:
                    advance(read)


def check_room(file: GGUFFile, path: Path, size: int) -> None:
    """OSError or ValueError for a place that cannot be written to, before any work is done."""
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "is not a folder", str(path.parent))
    if path.exists():
        if not path.is_file():
            raise FileExistsError(errno.EEXIST, "is there, and is not a regular file", str(path))
        if any(path.samefile(part.path) for part in file.parts):
            raise ValueError(f"{path}: is the file to be read; give another name")
    if shutil.disk_usage(path.parent).free < size:
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {size} bytes are needed", str(path))


def read_facts(file: GGUFFile) -> ModelFacts:
    """From the metadata, of any architecture; what is missing is what a plain dense model has."""
    architecture = file.get("general.architecture", "")
    named = 1 + max((layer_of(name) for name in file.tensors), default=-1)
    heads = _first_count(file, f"{architecture}.attention.head_count")
    kv_heads = _first_count(file, f"{architecture}.attention.head_count_kv", heads)
    return ModelFacts(
        architecture=architecture,
        layers=file.get(f"{architecture}.block_count", named),
        experts=file.get(f"{architecture}.expert_count", 0),
        grouping=heads // kv_heads if kv_heads > 0 else 0,
    )


def _first_count(file: GGUFFile, key: str, default: int = 0) -> int:
    """A number that may be given for every layer: the first layer's."""
    value = file.metadata.get(key, default)
    if isinstance(value, ArrayView):
        value = next(iter(value), default)
    if type(value) is not int:
        raise GGUFError(file.path, file.parts[0].header.key_offsets[key], f"key {key!r}", "expected a whole number")
    return value


def _bytes(elements: int, type: TensorType) -> int:
    return elements // type.block_elements * type.block_bytes


def _copy_metadata(file: GGUFFile, writer: GGUFWriter, mix: Mix) -> None:
    ours = {"general.file_type": mix.number, "general.quantization_version": QUANTIZATION_VERSION}
    for key, value in file.metadata.items():
        if key not in _DROPPED and key not in ours:
            writer.add(key, value, file.value_type(key))
    for key, number in ours.items():
        writer.add(key, number, ValueType.UINT32)
