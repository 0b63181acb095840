"""JSON files from strangers: limited in size and depth, no key twice."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from ostinato.convert.errors import ConvertError

MAX_BYTES = 1 << 28  # the largest tokenizer.json in use is about 35 MB


def read_json(path: Path) -> dict[str, Any]:
    """The object that a file holds. ConvertError, naming the file, for anything else."""
    return parse_json(read_bytes(path), str(path))


def read_list(path: Path) -> list[Any]:
    """The same for a list."""
    value = _parse(read_bytes(path), str(path))
    if not isinstance(value, list):
        raise ConvertError(f"{path}: expected a JSON list, found {type(value).__name__}")
    return value


def parse_json(raw: bytes, where: str) -> dict[str, Any]:
    """The object that `raw` holds; `where` names it in errors."""
    value = _parse(raw, where)
    if not isinstance(value, dict):
        raise ConvertError(f"{where}: expected a JSON object, found {type(value).__name__}")
    return value


def _parse(raw: bytes, where: str) -> Any:
    try:
        return json.loads(raw, object_pairs_hook=_object)
    except RecursionError:
        raise ConvertError(f"{where}: JSON nested too deeply") from None
    except ValueError as error:  # bad JSON, bad UTF-8, a key twice, a number of thousands of digits
        raise ConvertError(f"{where}: not sound JSON: {error}") from None


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """The bytes of a regular file of at most `limit`. ConvertError otherwise."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ConvertError(f"{path}: not a regular file")
        if status.st_size > limit:
            raise ConvertError(f"{path}: {status.st_size} bytes; expected at most {limit}")
        return path.read_bytes()
    except OSError as error:
        raise ConvertError(f"{path}: cannot be read: {error.strerror}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {max(names, key=names.count)!r:.80} is there twice")
    return value
