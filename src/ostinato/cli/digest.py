"""SHA-256 of a model's files, for reports."""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ostinato.cli.progress import progress

PORTION = 1 << 20  # bytes of a read: whole blocks of every disk


def digest(paths: Sequence[Path], direct: bool = False) -> str:
    """Over the files in their order. `direct`: past the page cache, where the file system can: what lies there is
    charged to the group of processes that brought it."""
    total = hashlib.sha256()
    with progress("hashing the model", sum(path.stat().st_size for path in paths)) as bar:
        for path in paths:
            for portion in _portions(path, direct):
                total.update(portion)
                bar.advance(len(portion))
    return total.hexdigest()


def _portions(path: Path, direct: bool) -> Iterator[memoryview]:
    """Each is gone when the next one comes. The buffer is whole pages, as direct reads need it."""
    descriptor = _opened(path, direct)
    try:
        buffer = memoryview(mmap.mmap(-1, PORTION))
        size = os.fstat(descriptor).st_size
        for at in range(0, size, PORTION):
            count = os.preadv(descriptor, [buffer], at)
            if count < min(PORTION, size - at):
                raise OSError(f"{path}: was cut short while it was read")
            yield buffer[:count]
    finally:
        os.close(descriptor)


def _opened(path: Path, direct: bool) -> int:
    if direct and hasattr(os, "O_DIRECT"):
        try:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT)
        except OSError:  # not on this file system; what else is wrong is said below
            pass
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
