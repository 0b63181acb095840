"""Nasty values of metadata and shapes of tensors, and every single change of a specimen with them."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from math import inf, nan, prod
from typing import Any

from ostinato.gguf.types_table import TensorType, ValueType
from ostinato.gguf.values import ArrayView
from ostinato.model.architectures import read_spec
from ostinato.model.weights import StoredTensor
from tests.gguf import craft
from tests.model.specimens import Specimen


def array(kind: ValueType, *values: Any) -> ArrayView:
    """An array as the reader hands it out; strings and arrays are given as their bytes."""
    if kind.format:
        raw = struct.pack(f"<{len(values)}{kind.format}", *values)
    elif kind is ValueType.STRING:
        raw = b"".join(struct.pack("<Q", len(value)) + value for value in values)
    else:
        raw = b"".join(values)
    return ArrayView(kind, len(values), 0, memoryview(raw))


_INNER = struct.pack("<IQi", ValueType.INT32, 1, 1)
NASTY: tuple[Any, ...] = (
    None, 0, 1, -1, 2, 3, 5, 7, 255, 4096, 65536, 2**24, 2**31 - 1, 2**31, 2**63 - 1, 2**64 - 1, -(2**63),
    0.0, 1.0, 0.5, -1.5, 1e-300, 1e-6, 1e30, 1e308, nan, inf, -inf, True, False, "", "yarn", "longrope", "gelu",
    "\x1b[2J\n", "x" * 100_000, b"\xff\xfe",
    array(ValueType.INT32), array(ValueType.INT32, 0), array(ValueType.INT32, 0, 0), array(ValueType.INT32, 2, 2),
    array(ValueType.INT32, 4, 1), array(ValueType.INT32, -1, 2**31 - 1), array(ValueType.FLOAT32, nan, inf),
    array(ValueType.BOOL, True, False), array(ValueType.STRING, b"2", b"\xff"), array(ValueType.ARRAY, _INNER, _INNER),
)  # fmt: skip


class _Asked(dict[str, Any]):
    """Remembers which keys were asked for."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.keys_asked: dict[str, None] = {}

    def get(self, key: str, default: Any = None) -> Any:
        self.keys_asked[key] = None
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        self.keys_asked[str(key)] = None
        return super().__contains__(key)


def asked_for(specimen: Specimen) -> tuple[list[str], list[str]]:
    """The keys and the tensors that its mapping looks for, whether they are there or not."""
    metadata, tensors = _Asked(specimen.metadata), _Asked(specimen.tensors)
    read_spec(Specimen(metadata, tensors))
    return list(metadata.keys_asked), list(tensors.keys_asked)


def changed_keys(specimen: Specimen) -> Iterator[tuple[str, Specimen]]:
    """Every key that its mapping looks for, with every nasty value."""
    for key in asked_for(specimen)[0]:
        for value in NASTY:
            yield f"{key} = {str(value)[:40]!r}", specimen.with_key(key, value)


def changed_tensors(specimen: Specimen) -> Iterator[tuple[str, Specimen]]:
    """Every tensor that its mapping looks for: removed, of other shapes, of other types."""
    for name in asked_for(specimen)[1]:
        old = specimen.tensors.get(name)
        yield f"{name} removed", specimen.with_tensor(name, None)
        for shape in _other_shapes(old):
            yield f"{name} {list(shape)}", specimen.with_tensor(name, shape)
        shape = (32,) if old is None else old.shape
        for kind in (TensorType.F16, TensorType.BF16, TensorType.Q8_0, TensorType.Q4_K, TensorType.I32, TensorType.F64):
            if shape[-1] % kind.block_elements == 0:
                yield f"{name} {kind.name}", specimen.with_tensor(name, shape, kind)


def _other_shapes(old: StoredTensor | None) -> Iterator[tuple[int, ...]]:
    if old is None:
        yield from ((1,), (0,), (4,), (32,), (64, 32), (32, 32), (1, 32), (4, 32, 64), (2, 2, 2, 2))
        return
    shape = old.shape
    yield from ((0,), (1,), (prod(shape),), shape[::-1], (1, *shape), (*shape, 1), (1,) * 4, (0, *shape[1:]))
    yield from ((*shape[:-1], 0), (*shape[:-1], shape[-1] + 1), (*shape[:-1], 2 * shape[-1]))
    for rows in (1, shape[0] - 1, shape[0] + 1, 2 * shape[0], shape[0] // 2):
        if rows != shape[0]:
            yield (rows, *shape[1:])


def gguf_bytes(specimen: Specimen) -> bytes:
    """The specimen as a file."""
    entries = [craft.entry(key, *_encoded(value)) for key, value in specimen.metadata.items()]
    described, data = [], b""
    for tensor in specimen.tensors.values():
        described.append(craft.tensor(tensor.name, tensor.shape[::-1], tensor.type, len(data)))
        data += tensor.data.tobytes() + bytes(-tensor.data.nbytes % 32)
    return craft.file(entries, described, data)


def _encoded(value: Any) -> tuple[int, bytes]:
    if isinstance(value, ArrayView):
        return ValueType.ARRAY, craft.array(value.type, value.count, bytes(value.raw))
    if isinstance(value, str | bytes):
        return ValueType.STRING, craft.text(value)
    if isinstance(value, bool):
        return ValueType.BOOL, struct.pack("<?", value)
    if isinstance(value, float):
        return ValueType.FLOAT64, struct.pack("<d", value)
    kind = ValueType.INT64 if value < 0 else ValueType.UINT64
    return kind, struct.pack(f"<{kind.format}", value)
