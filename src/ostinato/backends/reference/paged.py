"""Paged keys and values of one cache group: a pool of blocks, indexed by layer and position in the pool."""

from __future__ import annotations

import numpy as np

from ostinato.backends.contract import KVType, Plan
from ostinato.program.ir import CacheGroup


class Paged:
    """Index [layer, positions] into a pool whose blocks hold [layer, key or value, position, width]."""

    def __init__(self, pool: np.ndarray, size: int, first: int, width: int, per_layer: int) -> None:
        self._pool, self._size, self._first = pool, size, first
        self._width, self._per_layer = width, per_layer

    def _at(self, key: tuple[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        layer, where = key
        start = layer * self._per_layer + self._first + (where % self._size) * self._width
        return (where // self._size)[:, None], start[:, None] + np.arange(self._width)

    def __getitem__(self, key: tuple[int, np.ndarray]) -> np.ndarray:
        values: np.ndarray = self._pool[self._at(key)]
        return values

    def __setitem__(self, key: tuple[int, np.ndarray], value: np.ndarray) -> None:
        self._pool[self._at(key)] = value


def make_views(pool: np.ndarray, group: CacheGroup, plan: Plan) -> tuple[Paged, Paged]:
    """(keys, values) in a pool of backends/pools.py."""
    pool = pool.view(np.float16 if plan.kv_type is KVType.F16 else np.float32)
    size = plan.block_size
    per_layer = size * (group.key_width + group.value_width)
    keys = Paged(pool, size, 0, group.key_width, per_layer)
    values = Paged(pool, size, size * group.key_width, group.value_width, per_layer)
    return keys, values
