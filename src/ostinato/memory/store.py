"""From a plan to a store: files opened, slots there, threads waiting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from ostinato import _memory
from ostinato.memory.budget import MemoryPlan
from ostinato.memory.parcels import Parcels
from ostinato.memory.trace import Trace, make_trace

if TYPE_CHECKING:
    import numpy as np


class ReadMode(Enum):
    """How files are read."""

    DIRECT = "direct"  # past the page cache: what the budget says is all the memory that is used
    CACHED = "cached"  # through it
    MAPPED = "mapped"  # copied from a mapping, for comparison: slower, and a truncated file ends the process


class PolicyName(Enum):
    """Who goes first when a slot is needed."""

    LRU = "lru"
    LFU = "lfu"
    LFRU = "lfru"
    ORACLE = "oracle"  # replays a recorded trace


@dataclass(frozen=True)
class StoreOptions:
    """How a store reads and what it keeps. `half_life` is LFRU's, in tokens: a short one suits small budgets and text
    that repeats itself, a long one even use (simulate.best_half_life finds it for a recorded trace)."""

    mode: ReadMode = ReadMode.DIRECT
    policy: PolicyName = PolicyName.LFRU
    half_life: float = 4.0
    locked: bool = False  # slots are locked into memory
    threads: int = 8
    chunk: int = 1 << 20  # bytes of one read at most
    prefetch_in_flight: int = 2 << 20  # bytes of prefetch that are being read at once


def open_store(
    parcels: Parcels, plan: MemoryPlan, paths: Sequence[Path], options: StoreOptions | None = None, *,
    replicas: Sequence[Path] = (), checksums: np.ndarray | None = None, oracle: Trace | None = None,
) -> _memory.Store:  # fmt: skip
    """A store of the plan's slots. `paths` are the model's parts, `replicas` copies of them, in the same order.

    Raises _memory.ReadError for files that cannot be opened, ValueError for a plan or replicas that do not fit,
    RuntimeError where the system has not that much memory. Close it.
    """
    options = options or StoreOptions()
    trace = oracle or make_trace([])
    return _memory.Store(
        catalogue=parcels.native(plan.cache, checksums),
        files=open_files(paths, replicas, options.mode),
        pools=[(pool.slot_bytes, pool.slots) for pool in plan.pools],
        caches=[(cache.pool, cache.quota) for cache in plan.caches],
        budget=plan.slot_bytes,
        policy=options.policy.value,
        half_life=options.half_life * parcels.layers,
        trace=trace.arrays,
        locked=options.locked,
        threads=options.threads,
        chunk=options.chunk,
        prefetch_in_flight=options.prefetch_in_flight,
    )


def open_files(
    paths: Sequence[Path], replicas: Sequence[Path] = (), mode: ReadMode = ReadMode.DIRECT
) -> list[tuple[_memory.Source, _memory.Source | None]]:
    """A source for each part, with its replica where there are replicas."""
    if replicas and len(replicas) != len(paths):
        raise ValueError(f"{len(replicas)} replicas for {len(paths)} files")
    copies: Sequence[Path | None] = replicas or [None] * len(paths)
    return [(_source(path, mode), _source(copy, mode) if copy else None)
            for path, copy in zip(paths, copies, strict=True)]  # fmt: skip


def _source(path: Path, mode: ReadMode) -> _memory.Source:
    return _memory.FileSource(str(path), mode.value)
