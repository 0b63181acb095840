"""JSON files of checkpoints: ostinato.files, with ConvertError."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ostinato import files
from ostinato.convert.errors import ConvertError

MAX_BYTES = 1 << 28  # the largest tokenizer.json in use is about 35 MB


def read_json(path: Path) -> dict[str, Any]:
    """The object that a file holds. ConvertError, naming the file, for anything else."""
    return parse_json(read_bytes(path), str(path))


def read_list(path: Path) -> list[Any]:
    """The same for a list."""
    value = files.read_json(path, MAX_BYTES, ConvertError)
    if not isinstance(value, list):
        raise ConvertError(f"{path}: expected a JSON list, found {type(value).__name__}")
    return value


def parse_json(raw: bytes, where: str) -> dict[str, Any]:
    """The object that `raw` holds; `where` names it in errors."""
    value = files.parse_json(raw, where, ConvertError)
    if not isinstance(value, dict):
        raise ConvertError(f"{where}: expected a JSON object, found {type(value).__name__}")
    return value


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """The bytes of a regular file of at most `limit`. ConvertError otherwise."""
    return files.read_bytes(path, limit, ConvertError)
