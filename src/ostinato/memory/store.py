"""From a plan to a store: files opened, slots there, threads waiting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ostinato import _memory
from ostinato.memory.budget import MemoryPlan
from ostinato.memory.options import ReadMode, StoreOptions
from ostinato.memory.parcels import Parcels
from ostinato.memory.trace import Trace, make_trace

if TYPE_CHECKING:
    import numpy as np


def open_store(
    parcels: Parcels, plan: MemoryPlan, paths: Sequence[Path], options: StoreOptions | None = None, *,
    replicas: Sequence[Path | None] = (), checksums: np.ndarray | None = None, oracle: Trace | None = None,
) -> _memory.Store:  # fmt: skip
    """A store of the plan's slots. `paths` are the files that parcels lie in, `replicas` copies of them, in the same
    order (None: of this one there is none).

    Raises _memory.ReadError for files that cannot be opened, ValueError for a plan or replicas that do not fit,
    RuntimeError where the system has not that much memory. Close it.
    """
    options = options or StoreOptions()
    trace = oracle or make_trace([])
    files = open_files(paths, replicas, options.mode)
    if (block := _memory.block(files)) > plan.block:
        raise ValueError(f"reads are aligned to {block} bytes here, the plan has {plan.block}")
    return _memory.Store(
        catalogue=parcels.native(plan.cache, checksums),
        files=files,
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


def block_of(paths: Sequence[Path], replicas: Sequence[Path | None] = (), mode: ReadMode = ReadMode.DIRECT) -> int:
    """What reads of these files are aligned to, for `plan`. Raises _memory.ReadError."""
    return _memory.block(open_files(paths, replicas, mode))


def open_files(
    paths: Sequence[Path], replicas: Sequence[Path | None] = (), mode: ReadMode = ReadMode.DIRECT
) -> list[tuple[_memory.Source, _memory.Source | None]]:
    """A source for each part, with its replica where there is one."""
    if replicas and len(replicas) != len(paths):
        raise ValueError(f"replicas are given for {len(replicas)} files; the model has {len(paths)}")
    copies = replicas or [None] * len(paths)
    for path, copy in zip(paths, copies, strict=True):
        _check_copy(path, copy)
    return [(_source(path, mode), _source(copy, mode) if copy else None)
            for path, copy in zip(paths, copies, strict=True)]  # fmt: skip


def _check_copy(path: Path, copy: Path | None) -> None:
    """ValueError for a replica that is no file, or of another size than the file it should be of."""
    if copy is None or not copy.exists():  # to be said when it is opened
        return
    if not copy.is_file():
        raise ValueError(f"{copy}: not a regular file")
    size, expected = copy.stat().st_size, path.stat().st_size
    if size != expected:
        raise ValueError(f"{copy}: has {size} bytes; {path}, of which it should be a replica, has {expected}")


def _source(path: Path, mode: ReadMode) -> _memory.Source:
    return _memory.FileSource(str(path), mode.value)
