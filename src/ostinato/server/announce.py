"""How servers on this machine are found: each writes a small file, named by its process id, while it runs.

The folder is the user's own ($XDG_RUNTIME_DIR/ostinato, or one in the temporary folder that nobody else may
enter). Standard library only: `ostinato ps` starts in a blink.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ostinato.files import write_whole


@dataclass(frozen=True)
class Announcement:
    """A running server."""

    pid: int
    host: str
    port: int


def folder() -> Path:
    """Where announcements lie; made when absent. Raises PermissionError for one that others could write to."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    path = Path(base) / "ostinato" if base else Path(tempfile.gettempdir()) / f"ostinato-{os.getuid()}"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise PermissionError(f"{path} must be a folder that only you can read and write")
    return path


@contextlib.contextmanager
def announced(host: str, port: int) -> Iterator[None]:
    """This process serves there, as long as the block runs."""
    entry = Announcement(os.getpid(), host, port)
    path = folder() / f"{entry.pid}.json"
    write_whole(path, json.dumps(asdict(entry)))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def running() -> list[Announcement]:
    """Servers whose process is alive, by port. Files of dead ones are removed."""
    found = []
    for path in folder().glob("*.json"):
        entry = _read(path)
        if entry is not None and _is_alive(entry.pid):
            found.append(entry)
        else:
            path.unlink(missing_ok=True)
    return sorted(found, key=lambda entry: entry.port)


def _read(path: Path) -> Announcement | None:
    """None for a file that says nothing sound."""
    try:
        entry = Announcement(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    sound = isinstance(entry.pid, int) and 0 < entry.pid < 2**31 and isinstance(entry.host, str)
    return entry if sound and isinstance(entry.port, int) and 0 < entry.port < 2**16 else None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
