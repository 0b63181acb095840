"""Small stores for tests: files of random bytes, parcels of odd extents, sources that fail, wait or lie on request."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato import _memory
from ostinato.memory.store_table import BLOCK
from ostinato.memory.trace import make_trace

NO_TRACE = make_trace([]).arrays


def ints(values: Sequence[int]) -> NDArray[np.int32]:
    return np.array(values, np.int32)


class ScriptedSource(_memory.Source):
    """Serves `data`; refuses what overlaps `broken`, waits for `gate`, and keeps the order of reads in `log`."""

    def __init__(self, data: NDArray[np.uint8], block: int = BLOCK) -> None:
        super().__init__()
        self.bytes = data
        self.alignment = block
        self.broken: set[int] = set()  # offsets that cannot be read
        self.gate = threading.Event()
        self.gate.set()
        self.began = threading.Semaphore(0)
        self.log: list[int] = []

    def size(self) -> int:
        return len(self.bytes)

    def block(self) -> int:
        return self.alignment

    def read(self, offset: int, to: NDArray[np.uint8]) -> None:
        assert offset % self.alignment == 0
        assert len(to) % self.alignment == 0
        assert to.ctypes.data % self.alignment == 0
        self.log.append(offset)
        self.began.release()
        assert self.gate.wait(20)
        if any(offset <= bad < offset + len(to) for bad in self.broken):
            raise OSError(f"planted fault at {offset}")
        part = self.bytes[offset : offset + len(to)]
        to[: len(part)] = part


@dataclass
class World:
    """A catalogue of parcels over one file: parcel p is `sizes[p]` bytes (a tuple: several extents), in cache[p]."""

    data: NDArray[np.uint8]
    extents: list[list[tuple[int, int]]]  # of each parcel: offset, bytes
    cache: list[int]
    layer: list[int]
    checksums: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))

    @property
    def parcels(self) -> int:
        return len(self.extents)

    @property
    def slot_bytes(self) -> int:
        """Of the largest parcel, in whole blocks."""
        return max(
            sum((offset + size + BLOCK - 1) // BLOCK - offset // BLOCK for offset, size in parcel)
            for parcel in self.extents
        ) * BLOCK  # fmt: skip

    def native(self) -> _memory.Catalogue:
        flat = [(0, offset, size) for parcel in self.extents for offset, size in parcel]
        first = np.cumsum([0, *map(len, self.extents)])
        return _memory.Catalogue(
            np.array(flat, np.int64).reshape(-1, 3), first.astype(np.int32), ints(self.cache), ints(self.layer),
            self.checksums,
        )  # fmt: skip

    def content(self, parcel: int) -> bytes:
        return b"".join(self.data[offset : offset + size].tobytes() for offset, size in self.extents[parcel])

    def store(
        self, source: _memory.Source, slots: int, replica: _memory.Source | None = None, **options: Any
    ) -> _memory.Store:
        """One pool of `slots`, one cache unless `caches` says otherwise."""
        settings: dict[str, Any] = {
            "pools": [(self.slot_bytes, slots)], "caches": [(0, slots)], "budget": slots * self.slot_bytes,
            "policy": "lru", "half_life": 8.0, "trace": NO_TRACE, "locked": False, "threads": 2, "chunk": BLOCK,
            "prefetch_in_flight": BLOCK,
        }  # fmt: skip
        return _memory.Store(self.native(), [(source, replica)], **(settings | options))


def world(parcels: int, layers: int = 1, seed: int = 0, largest: int = 3 * BLOCK) -> World:
    """Parcels of one to three extents at odd offsets, one after the other; the file ends with the last of them."""
    rng = np.random.default_rng(seed)
    extents, at = [], 17
    for _ in range(parcels):
        own = []
        for _ in range(int(rng.integers(1, 4))):
            size = int(rng.integers(1, largest))
            own.append((at, size))
            at += size + int(rng.integers(0, 100))
        extents.append(own)
    end = extents[-1][-1][0] + extents[-1][-1][1]
    data = rng.integers(0, 256, end, np.uint8)
    return World(data, extents, [0] * parcels, [p * layers // parcels for p in range(parcels)])


def written(world: World, path: Path) -> str:
    path.write_bytes(world.data.tobytes())
    return str(path)


def held_bytes(world: World, request: _memory.Request, parcel: int) -> bytes:
    count = len(world.extents[parcel])
    return b"".join(request.data(parcel, extent).tobytes() for extent in range(count))


def counted(store: _memory.Store, name: str) -> int:
    """A counter, of all layers together."""
    return int(store.counters()[:, _memory.COUNTERS.index(name)].sum())
