"""The weight store (native/memory): parcels of files in a bounded number of slots of memory.

Sources may be Python classes derived from `Source` with size(), block() and read(offset, to: uint8), for tests.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

COUNTERS: tuple[str, ...]  # what the columns of Store.counters() are
MODES: tuple[str, ...]  # of FileSource
POLICIES: tuple[str, ...]
READING: int  # of Store.states(): a parcel that is being read

class ReadError(OSError): ...
class NoMemoryError(RuntimeError): ...

class Source:
    def __init__(self) -> None: ...

class FileSource(Source):
    def __init__(self, path: str, mode: str) -> None: ...
    @property
    def size(self) -> int: ...
    @property
    def block(self) -> int: ...
    @property
    def identity(self) -> tuple[int, int, int, int]: ...  # device, inode, bytes, nanoseconds

class Catalogue:
    def __init__(
        self,
        extents: NDArray[np.int64],  # [e, 3]: file, offset, bytes
        first: NDArray[np.int32],  # [parcels + 1]
        cache: NDArray[np.int32],
        layer: NDArray[np.int32],
        checksums: NDArray[np.uint32],  # [parcels] or [0]
        copies: int = 0,  # of the parcels, the last ones
    ) -> None: ...
    @property
    def parcels(self) -> int: ...

class MissRule:
    def __init__(self, latency: float, rate: float, least_saving: float, most_share: float) -> None: ...
    @property
    def latency(self) -> float: ...  # seconds
    @property
    def rate(self) -> float: ...  # bytes a second
    @property
    def least_saving(self) -> float: ...  # seconds
    @property
    def most_share(self) -> float: ...  # of a row's router weights
    def wait(self, ahead: int, bytes: int) -> float: ...  # seconds

class NativeStore: ...

class Store(NativeStore):
    def __init__(
        self,
        catalogue: Catalogue,
        files: Sequence[tuple[Source, Source | None]],  # and the replica of each
        pools: Sequence[tuple[int, int]],  # slot bytes, slots
        caches: Sequence[tuple[int, int]],  # pool, quota
        budget: int,
        policy: str,
        half_life: float,
        trace: tuple[NDArray[np.int64], NDArray[np.int32]],
        locked: bool,
        threads: int,
        chunk: int,
        prefetch_in_flight: int,
    ) -> None: ...
    def close(self) -> None: ...
    def hint(self, parcels: NDArray[np.int32]) -> None: ...
    def keep(self, parcels: NDArray[np.int32]) -> None: ...
    def resize(self, pool: int, slots: int, quotas: Sequence[int]) -> bool: ...
    def set_budget(self, bytes: int) -> bool: ...
    def start_trace(self, limit: int) -> None: ...
    def take_trace(self) -> tuple[NDArray[np.int64], NDArray[np.int32], int]: ...
    def counters(self) -> NDArray[np.int64]: ...
    def occupancy(self) -> list[tuple[int, int, int, int]]: ...  # slot bytes, slots, used, bytes of parcels
    def states(self) -> NDArray[np.uint8]: ...  # absent, queued, reading, resident
    def uses(self) -> NDArray[np.int64]: ...  # of every parcel: how often it was wanted
    def decide(
        self, rule: MissRule, experts: Sequence[tuple[int, int, float]]
    ) -> list[bool]: ...  # parcel, copy, share
    def check_integrity(self) -> None: ...
    @property
    def bytes(self) -> int: ...
    @property
    def budget(self) -> int: ...

class Request:
    def __init__(self, store: Store) -> None: ...
    def want(self, parcels: NDArray[np.int32], rows: NDArray[np.float64] | None = None, age: float = 0.0) -> None: ...
    def take(self) -> list[tuple[int, str]]: ...  # parcel, error or ""
    def poll(self) -> list[tuple[int, str]]: ...
    def wait(self, parcel: int) -> str: ...
    def release(self, parcel: int) -> None: ...
    def clear(self) -> None: ...
    def data(self, parcel: int, extent: int) -> NDArray[np.uint8]: ...

class Transitions:
    def __init__(self, experts: Sequence[int], half_life: float) -> None: ...
    def observe(self, stack: int, ids: NDArray[np.int32]) -> None: ...  # [rows, top_k]
    def restart(self) -> None: ...  # the rows that come are others
    def predict(self, stack: int, ids: NDArray[np.int32], count: int) -> list[int]: ...  # of one row

def block(files: Sequence[tuple[Source, Source | None]]) -> int: ...  # what reads of all of them are aligned to
def give_back(bytes: NDArray[np.uint8]) -> None: ...  # whole pages go; they read as zeros from now on
def crc32c(data: NDArray[np.uint8]) -> int: ...
def checksums(catalogue: Catalogue, files: Sequence[tuple[Source, Source | None]]) -> NDArray[np.uint32]: ...
def simulate(
    trace: tuple[NDArray[np.int64], NDArray[np.int32]],
    cache: NDArray[np.int32],
    quotas: NDArray[np.int32],
    kept: NDArray[np.int32],
    policy: str,
    half_life: float,
) -> NDArray[np.int32]: ...
