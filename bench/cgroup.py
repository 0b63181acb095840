"""A memory control group around a process that is measured (versions 1 and 2; it takes the right to make one).

The page cache counts: the pages of a file belong to the group that first read them, so `evict` it before each run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.worker import WorkerError

_OLD = Path("/sys/fs/cgroup/memory")  # version 1
_SETTLING = 5.0  # seconds that ended processes may take to be gone


class Group:
    """A memory control group of our own."""

    def __init__(self, folder: Path, peak: str) -> None:
        self._folder, self._peak = folder, peak
        self.words = ("sh", "-c", f'echo $$ > {folder}/cgroup.procs && exec "$@"', "sh")  # before a command

    def peak(self) -> int:
        """The most that it held, page cache included."""
        return int((self._folder / self._peak).read_text())


@contextmanager
def memory_group(limit: int | None) -> Iterator[Group]:
    """A group of at most `limit` bytes. Raises WorkerError where none can be made."""
    base, limit_file, peak = (
        (_OLD / _own_group(), "memory.limit_in_bytes", "memory.max_usage_in_bytes")
        if _OLD.is_dir()
        else (Path("/sys/fs/cgroup"), "memory.max", "memory.peak")
    )
    folder = base / f"ostinato-bench-{os.getpid()}"
    try:
        folder.mkdir()
        if limit is not None:
            (folder / limit_file).write_text(str(limit))
    except OSError as error:
        raise WorkerError(f"no memory control group can be made: {error}") from None
    try:
        yield Group(folder, peak)
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """As soon as its processes are gone."""
    give_up = time.monotonic() + _SETTLING
    while True:
        try:
            folder.rmdir()
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.1)
        else:
            return


def _own_group() -> str:
    """The path of this process's memory group, version 1."""
    lines = (line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines())
    return next((path.lstrip("/") for _, kinds, path in lines if "memory" in kinds.split(",")), "")


def evict(path: Path) -> None:
    """Out of the page cache, so that whoever reads the file next is charged for it. Nobody may have it mapped."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
