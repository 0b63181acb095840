"""Files from strangers: regular ones of a limited size, JSON that is sound; everything else is refused at once."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ostinato.files import open_regular, read_bytes, read_json, write_whole


class RefusedError(ValueError):
    """What this test has them raise."""


def test_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b'{"a": [1, 2]}')
    assert read_bytes(path, 13, RefusedError) == path.read_bytes()
    assert read_json(path, 13, RefusedError) == {"a": [1, 2]}
    with open_regular(path, 13, RefusedError) as file:
        assert file.read(5) == b'{"a":'


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "sound"), (b"\xff\xfe", "sound"), (b"[" * 100_000, "deep"), (b"1" * 10_000, "sound"),
     (b'{"a": 1, "a": 2}', "'a' is there twice"), (b"x" * 200_001, "200001 bytes; expected at most 200000")],
)  # fmt: skip
def test_what_is_no_json(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(RefusedError, match=rf"f: .*{reason}"):
        read_json(tmp_path / "f", 200_000, RefusedError)


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent", Path("nul\0in it"), Path("/dev/zero")):
        with pytest.raises(RefusedError, match=r"regular|cannot be read"):
            read_bytes(path, 100, RefusedError)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path, umask = tmp_path / ("n" * 200), os.umask(0o022)
    try:
        write_whole(path, "one ä\udcff")
        assert path.stat().st_mode & 0o777 == 0o644
        write_whole(path, "two", 0o600)
        assert (path.read_text(), path.stat().st_mode & 0o777) == ("two", 0o600)
        with pytest.raises(TypeError):
            write_whole(path, 3)  # type: ignore[arg-type]
        with pytest.raises(IsADirectoryError):
            write_whole(tmp_path, "three")
    finally:
        os.umask(umask)
    assert path.read_text() == "two"
    assert os.listdir(tmp_path) == [path.name]
    assert not list(tmp_path.parent.glob(f".{tmp_path.name}.*"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
@pytest.mark.timeout(20)
def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "f")
    with pytest.raises(RefusedError, match="not a regular file"):
        read_json(tmp_path / "f", 100, RefusedError)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc files have a size of 0 and something in them")
def test_a_file_that_has_more_than_it_says_is_not_read() -> None:
    with pytest.raises(RefusedError, match="not the 0 bytes"):
        read_bytes(Path("/proc/self/status"), 10, RefusedError)
