"""Crafts GGUF files byte by byte, sound or not, independently of the project's writer."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ostinato.gguf.types_table import TensorType, ValueType


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def entry(key: str | bytes, type: int, value: bytes) -> bytes:
    """A metadata entry; `value` is already encoded."""
    return text(key) + struct.pack("<I", type) + value


def array(type: int, count: int, elements: bytes) -> bytes:
    return struct.pack("<IQ", type, count) + elements


def tensor(name: str | bytes, ne: Sequence[int], type: int = TensorType.F32, offset: int = 0) -> bytes:
    """A tensor description; `ne` is in ggml's order, fastest axis first."""
    return text(name) + struct.pack(f"<I{len(ne)}Q", len(ne), *ne) + struct.pack("<IQ", type, offset)


def file(
    entries: Sequence[bytes] = (),
    tensors: Sequence[bytes] = (),
    data: bytes = b"",
    *,
    version: int = 3,
    key_count: int | None = None,
    tensor_count: int | None = None,
    alignment: int = 32,
) -> bytes:
    """A whole file; the counts are the true ones unless given."""
    head = b"GGUF" + struct.pack(
        "<IQQ",
        version,
        len(tensors) if tensor_count is None else tensor_count,
        len(entries) if key_count is None else key_count,
    )
    body = head + b"".join(entries) + b"".join(tensors)
    return body + bytes(-len(body) % alignment) + data if tensors else body


def split_keys(number: int, count: int, tensors: int) -> list[bytes]:
    """What `llama-gguf-split` writes into each part."""
    return [
        entry("split.no", ValueType.UINT16, struct.pack("<H", number)),
        entry("split.count", ValueType.UINT16, struct.pack("<H", count)),
        entry("split.tensors.count", ValueType.INT32, struct.pack("<i", tensors)),
    ]
