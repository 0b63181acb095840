"""Where what people keep lies: the XDG base directories (specifications.freedesktop.org/basedir-spec)."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ostinato.files import write_whole

SAVED = ".json"
NAME = re.compile(r"\w[\w .+-]{0,99}")  # no separators, no leading dot, nothing that drives a terminal


def history_file() -> Path:
    """What was typed into chats. Raises OSError where nobody knows the home folder; so do the others."""
    return _base("XDG_STATE_HOME", ".local/state") / "history"


def sessions_folder() -> Path:
    """Saved conversations."""
    return _base("XDG_DATA_HOME", ".local/share") / "sessions"


def session_file(name: str) -> Path:
    """Of a plain name, in its folder; or the path itself, if it has a "/" and ends in .json. ValueError otherwise."""
    if "/" in name or os.sep in name:
        if not name.endswith(SAVED) or not name.isprintable():
            raise ValueError(f"{name!r} is a path that does not end in {SAVED}")
        return _expanded(name)
    stem = name.removesuffix(SAVED)
    if not NAME.fullmatch(stem):
        raise ValueError(f"{name!r} is no name: letters, digits, spaces and . + - _, or a path ending in {SAVED}")
    return sessions_folder() / (stem + SAVED)


def saved_names() -> list[str]:
    """Names of the conversations in the folder."""
    try:
        return sorted(path.stem for path in sessions_folder().iterdir() if path.suffix == SAVED)
    except OSError:
        return []


def write_private(path: Path, text: str) -> None:
    """The whole file or nothing, for its owner's eyes. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(path, text, 0o600)


def _expanded(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{name}: {error}") from error


def _base(variable: str, default: str) -> Path:
    """Relative paths in these variables are to be ignored, says the specification. OSError where there is no home."""
    given = os.environ.get(variable, "")
    if os.path.isabs(given):
        return Path(given) / "ostinato"
    try:
        return Path.home() / default / "ostinato"
    except RuntimeError as error:
        raise OSError(f"there is no home folder; set {variable}") from error
