"""Paged keys and values of one cache group: a pool of blocks, indexed by layer and position in the pool."""

from __future__ import annotations

import numpy as np

from ostinato.backends.contract import KVType, Plan
from ostinato.gguf.blocks import dequantize, quantize
from ostinato.program.ir import CacheGroup


class Paged:
    """Index [layer, positions] into a pool whose blocks hold [layer, key or value, position, width], each position in
    the format of the plan's type: rounded where it is written, float32 where it is read."""

    def __init__(self, pool: np.ndarray, size: int, first: int, width: int, per_layer: int, kv_type: KVType) -> None:
        self._pool, self._size, self._first = pool, size, first
        self._width, self._per_layer, self._type = width, per_layer, kv_type

    def _at(self, key: tuple[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        layer, where = key
        row = self._type.bytes(self._width)
        start = layer * self._per_layer + self._first + (where % self._size) * row
        return (where // self._size)[:, None], start[:, None] + np.arange(row)

    def __getitem__(self, key: tuple[int, np.ndarray]) -> np.ndarray:
        stored = np.ascontiguousarray(self._pool[self._at(key)])
        return dequantize(stored, self._type.tensor_type, (len(key[1]), self._width))

    def __setitem__(self, key: tuple[int, np.ndarray], value: np.ndarray) -> None:
        self._pool[self._at(key)] = stored_bytes(value.astype(np.float32).reshape(1, -1), self._type)


def stored_bytes(values: np.ndarray, kv_type: KVType) -> np.ndarray:
    """uint8 [1, bytes] of float32 [1, width]. Values too large for a half become infinite."""
    if kv_type is KVType.Q8_0:
        return quantize(values, kv_type.tensor_type).reshape(1, -1)
    with np.errstate(over="ignore"):
        return values.astype(np.float16 if kv_type is KVType.F16 else np.float32).view(np.uint8)


def make_views(pool: np.ndarray, group: CacheGroup, plan: Plan) -> tuple[Paged, Paged]:
    """(keys, values) in a pool of backends/pools.py."""
    size, kv_type = plan.block_size, plan.kv_type
    keys, values = (size * kv_type.bytes(width) for width in (group.key_width, group.value_width))
    return (
        Paged(pool, size, 0, group.key_width, keys + values, kv_type),
        Paged(pool, size, keys, group.value_width, keys + values, kv_type),
    )
