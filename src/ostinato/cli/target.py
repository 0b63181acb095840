"""The file that a command writes: looked at before any work is done, replaced only by who says so."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

from ostinato.cli.errors import CliError


def add_force(parser: argparse.ArgumentParser, what: str = "OUT.gguf") -> None:
    """--force, for `check_target`."""
    parser.add_argument("--force", action="store_true", help=f"replace {what} if it is there")


def check_target(path: Path, force: bool, sources: Iterable[Path]) -> None:
    """Raises CliError where the file cannot be written, is one of those that are read, or is there already."""
    check_place(path)
    if path.exists():
        if any(source.exists() and path.samefile(source) for source in sources):
            raise CliError(f"{path}: is the file to be read; give another name")
        if not force:
            raise CliError(f"{path}: is there already; --force replaces it")


def check_place(path: Path) -> None:
    """Raises CliError where no file of this name can be written, whether there is one or not."""
    folder = path.parent
    if path.is_dir() or not folder.is_dir():
        raise CliError(f"{path}: not a file in a folder that exists")
    if path.exists() and not path.is_file():
        raise CliError(f"{path}: is there, and is not a regular file")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CliError(f"{folder}: files cannot be written there")
