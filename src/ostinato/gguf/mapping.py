"""A file mapped into memory, read-only.

A file that another process truncates while it is mapped answers reads behind its new end with SIGBUS; no check can
prevent that. Replace model files by renaming (as `GGUFWriter` does), never by writing into them.
"""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ostinato import _gguf
from ostinato.gguf.errors import WHOLE, GGUFError


class MappedFile:
    """The bytes of a regular file. The mapping lives until `close` and until the last view on it is dropped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        mapping, self.identity = _map(path)
        self._memory: memoryview | None = memoryview(mapping)
        self._populating: _gguf.Populating | None = None

    @property
    def memory(self) -> memoryview:
        """All bytes of the file; GGUFError after `close`."""
        if self._memory is None:
            raise GGUFError(self.path, None, WHOLE, "is closed; read tensors before closing it")
        return self._memory

    def populate(self, but: Sequence[tuple[int, int]] = ()) -> None:
        """Begin to read what is not in memory, on a thread beside whatever comes next. What cannot be read now is read
        when it is needed, as without this.

        `but` are runs (start, stop), in order and apart, that will not be read: nor do page faults beside them read
        them ahead.

        A whole file is read in huge pages where its file system has them, and stays so in the page cache for every
        process: a 1.1B in Q4_K_M is there in 0.26 s instead of 0.35, and decodes 5 % faster.
        """
        if self._populating is None:
            self._advise("MADV_RANDOM" if but else "MADV_NORMAL", 0, self._pages)
            if not but:
                self._advise("MADV_HUGEPAGE", 0, self._pages)
            self._populating = _gguf.Populating(self.memory, _between(but, self.memory.nbytes), bool(but))

    def sparse(self) -> None:
        """From now on page faults bring in what is touched and nothing around it, until `populate` says otherwise."""
        self._advise("MADV_RANDOM", 0, self._pages)

    @property
    def _pages(self) -> int:
        return -(-self.memory.nbytes // mmap.PAGESIZE)

    def release(self, start: int, stop: int) -> None:
        """Give the pages that begin in `start .. stop` back to the system; they are read again when needed."""
        self._advise("MADV_DONTNEED", start // mmap.PAGESIZE, stop // mmap.PAGESIZE)

    def close(self) -> None:
        self._populating = None
        self._memory = None

    def _advise(self, advice: str, first: int, last: int) -> None:
        """To the system, where it takes such advice, about the pages `first` .. `last`."""
        mapping, page = self.memory.obj, mmap.PAGESIZE
        if first < last and isinstance(mapping, mmap.mmap) and hasattr(mmap, advice):
            with suppress(OSError):  # of a kernel built without huge pages
                mapping.madvise(getattr(mmap, advice), first * page, (last - first) * page)


def _between(runs: Sequence[tuple[int, int]], end: int) -> list[tuple[int, int]]:
    """What the runs leave of 0 .. end, from the beginning of a page."""
    starts = [0, *(stop // mmap.PAGESIZE * mmap.PAGESIZE for _, stop in runs)]
    stops = [*(start for start, _ in runs), end]
    return [(start, stop) for start, stop in zip(starts, stops, strict=True) if start < stop]


Identity = tuple[int, int, int, int]  # device, inode, bytes, nanoseconds: others for a file that replaced this one


def _map(path: Path) -> tuple[mmap.mmap, Identity]:
    """Raises GGUFError for what is not a readable, regular, non-empty file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # NONBLOCK: a FIFO has no writer
    except (OSError, ValueError) as error:
        raise GGUFError(path, None, WHOLE, f"cannot be opened: {_reason(error)}") from None
    try:
        identity = _checked(path, descriptor)
        try:
            return mmap.mmap(descriptor, identity[2], access=mmap.ACCESS_READ), identity
        except (OSError, ValueError, OverflowError) as error:
            raise GGUFError(path, None, WHOLE, f"cannot be mapped: {_reason(error)}") from None
    finally:
        os.close(descriptor)


def _checked(path: Path, descriptor: int) -> Identity:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise GGUFError(path, None, WHOLE, "is not a regular file; expected a GGUF file")
    if status.st_size == 0:
        raise GGUFError(path, 0, "magic", "the file is empty; expected the four bytes GGUF")
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
