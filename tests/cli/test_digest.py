"""A model's digest; direct, it leaves the page cache as it found it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from ostinato.cli.digest import PORTION, digest


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Two files, neither of whole portions."""
    found = [tmp_path / "one", tmp_path / "two"]
    for path, size in zip(found, (5 * PORTION // 2 + 3, 4), strict=True):
        path.write_bytes(os.urandom(size))
    return found


@pytest.mark.parametrize("direct", [False, True])
def test_it_is_of_the_files_in_their_order(paths: list[Path], direct: bool) -> None:
    assert digest(paths, direct) == hashlib.sha256(paths[0].read_bytes() + paths[1].read_bytes()).hexdigest()


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"):
        digest([tmp_path / "absent"], direct=True)


@pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="the system does not tell what its page cache holds")
def test_directly_it_brings_nothing_into_the_page_cache(paths: list[Path]) -> None:
    try:
        os.close(os.open(paths[0], os.O_RDONLY | os.O_DIRECT))
    except OSError:
        pytest.skip("this file system has no direct I/O")
    descriptor = os.open(paths[0], os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)  # a look reads its page, and no other
        if is_cached(descriptor, 0):
            pytest.skip("this file system keeps its files in memory")
        digest(paths[:1], direct=True)
        assert not is_cached(descriptor, PORTION)
        assert not is_cached(descriptor, 2 * PORTION)
        digest(paths[:1])
        assert is_cached(descriptor, PORTION // 2)
    finally:
        os.close(descriptor)


def is_cached(descriptor: int, at: int) -> bool:
    """Whether the page with this byte lies in the page cache. Once asked for, it may be on its way there."""
    try:
        return os.preadv(descriptor, [bytearray(1)], at, os.RWF_NOWAIT) == 1
    except BlockingIOError:
        return False
