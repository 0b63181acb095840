"""Files from strangers: regular ones only (a FIFO would be waited for), limited in size; JSON limited in depth, no key
twice. Whoever reads says with which error: one line that names the file. And files of our own, written whole."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

Errors = type[Exception]


def open_regular(path: Path, limit: int, error: Errors) -> BinaryIO:
    """A regular file of at most `limit` bytes, open for reading."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as failed:
        reason = (failed.strerror if isinstance(failed, OSError) else None) or str(failed)
        raise error(f"{path}: cannot be read: {reason}") from None
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_size <= limit:
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISREG(status.st_mode):
        raise error(f"{path}: {status.st_size} bytes; expected at most {limit}")
    raise error(f"{path}: not a regular file")


def read_bytes(path: Path, limit: int, error: Errors) -> bytes:
    """All of such a file."""
    with open_regular(path, limit, error) as file:
        try:
            size = os.fstat(file.fileno()).st_size
            raw = file.read(size + 1)
        except OSError as failed:
            raise error(f"{path}: cannot be read: {failed.strerror}") from None
    if len(raw) != size:  # or the system makes it as it is read (/proc)
        raise error(f"{path}: it has not the {size} bytes that it should have")
    return raw


def read_json(path: Path, limit: int, error: Errors) -> Any:
    """What such a file holds."""
    return parse_json(read_bytes(path, limit, error), str(path), error)


def parse_json(raw: bytes, where: str, error: Errors) -> Any:
    """What `raw` holds; `where` names it in errors."""
    try:
        return json.loads(raw, object_pairs_hook=_object)
    except RecursionError:
        raise error(f"{where}: JSON nested too deeply") from None
    except ValueError as failed:  # bad JSON, bad UTF-8, a key twice, a number of thousands of digits
        raise error(f"{where}: not sound JSON: {failed}") from None


def write_whole(path: Path, text: str, mode: int = 0o666) -> None:
    """A file of this text, as UTF-8; what was there before stays until it is written. Raises OSError."""
    temporary = path.with_name(f".{path.name[:50]}.{os.urandom(4).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with open(descriptor, "w", encoding="utf-8", errors="surrogatepass") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {max(names, key=names.count)!r:.80} is there twice")
    return value
