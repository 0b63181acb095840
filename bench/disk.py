"""The floor under streaming: how fast the disk gives a file that is read from begin to end, past the page cache."""

from __future__ import annotations

import mmap
import os
import threading
import time
from pathlib import Path

CHUNK = 4 << 20  # bytes of a read
THREADS = 4
SECONDS = 2.0  # of reading


def sequential_bandwidth(path: Path, threads: int = THREADS, seconds: float = SECONDS) -> float:
    """Bytes a second of `threads` threads that read consecutive pieces of the file in turn, again from its begin when
    they come to its end."""
    file = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        return _rate(file, os.fstat(file).st_size // CHUNK, threads, seconds)
    finally:
        os.close(file)


def _buffer() -> mmap.mmap:
    """In huge pages, as a store's slots are: into small ones the same disk gave less than half."""
    flags = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_ANONYMOUS") else {}
    to = mmap.mmap(-1, CHUNK, **flags)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        to.madvise(mmap.MADV_HUGEPAGE)
    to.write(bytes(CHUNK))
    return to


def _rate(file: int, pieces: int, threads: int, seconds: float) -> float:
    if not pieces:
        raise ValueError(f"a file of less than {CHUNK} bytes says nothing about a disk")
    lock = threading.Lock()
    piece = done = 0
    stop = time.perf_counter() + seconds

    def work() -> None:
        nonlocal piece, done
        to = _buffer()
        while time.perf_counter() < stop:
            with lock:
                own, piece = piece % pieces, piece + 1
            got = os.preadv(file, [to], own * CHUNK)
            with lock:
                done += got

    started = time.perf_counter()
    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return done / (time.perf_counter() - started)
