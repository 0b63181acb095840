"""Blocks of keys and values on a card: copied, spilled to the host, restored. A block's bytes are layer after layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ostinato.backends.contract import Plan
from ostinato.backends.cuda.memory import Memory
from ostinato.program.ir import CacheGroup

STAGING_BYTES = 4 << 20


@dataclass(frozen=True)
class _Pool:
    """A cache group: [layers][blocks][layer_bytes] from `address` on."""

    address: int
    layers: int
    blocks: int
    layer_bytes: int

    def place(self, layer: int, block: int) -> int:
        return self.address + (layer * self.blocks + block) * self.layer_bytes

    @property
    def block_bytes(self) -> int:
        return self.layers * self.layer_bytes


class Blocks:
    """Moves blocks in the order of the driver's stream."""

    def __init__(self, memory: Memory, groups: Sequence[CacheGroup], kv: Sequence[int], plan: Plan) -> None:
        self._memory, self._driver = memory, memory.driver
        self._pools = [
            _Pool(address, group.layers, plan.blocks, plan.cache_bytes(group) // plan.blocks // group.layers)
            for group, address in zip(groups, kv, strict=True)
        ]
        self._staging: np.ndarray | None = None

    def copy(self, cache: int, blocks: Sequence[int], to: Sequence[int]) -> None:
        pool = self._pools[cache]
        for source, target in zip(blocks, to, strict=True):
            for layer in range(pool.layers):
                self._driver.copy(pool.place(layer, target), pool.place(layer, source), pool.layer_bytes)

    def spill(self, cache: int, blocks: Sequence[int]) -> bytes:
        pool, out = self._pools[cache], bytearray()
        staging = self._pinned(pool)
        for batch in _batches(blocks, len(staging) // pool.block_bytes):
            for number, block in enumerate(batch):
                for layer in range(pool.layers):
                    at = staging.ctypes.data + (number * pool.layers + layer) * pool.layer_bytes
                    self._driver.copy(at, pool.place(layer, block), pool.layer_bytes)
            self._driver.synchronize()
            out += staging[: len(batch) * pool.block_bytes].tobytes()
        return bytes(out)

    def restore(self, cache: int, blocks: Sequence[int], data: bytes) -> None:
        """Raises ValueError where `data` is not what `spill` of so many blocks gave."""
        pool = self._pools[cache]
        if len(data) != len(blocks) * pool.block_bytes:
            raise ValueError(f"{len(data)} bytes for {len(blocks)} blocks of {pool.block_bytes}")
        staging, start = self._pinned(pool), 0
        for batch in _batches(blocks, len(staging) // pool.block_bytes):
            nbytes = len(batch) * pool.block_bytes
            staging[:nbytes] = np.frombuffer(data, np.uint8)[start : start + nbytes]
            start += nbytes
            for number, block in enumerate(batch):
                for layer in range(pool.layers):
                    at = staging.ctypes.data + (number * pool.layers + layer) * pool.layer_bytes
                    self._driver.copy(pool.place(layer, block), at, pool.layer_bytes)
            self._driver.synchronize()

    def _pinned(self, pool: _Pool) -> np.ndarray:
        """Room for whole blocks: at least one of the largest group. Made at its first use."""
        if self._staging is None:
            most = max(each.block_bytes for each in self._pools)
            self._staging = self._memory.pin("blocks", max(STAGING_BYTES // most, 1) * most)
        return self._staging


def _batches(blocks: Sequence[int], most: int) -> Iterator[Sequence[int]]:
    for first in range(0, len(blocks), most):
        yield blocks[first : first + most]
