"""How a command says that it cannot go on."""

from __future__ import annotations

from pathlib import Path

from ostinato.cli.output import one_line

USAGE = 2


class CliError(Exception):
    """One line for standard error, and the exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def near_file(error: Exception) -> str:
    """For a file that is not there: a hint at one beside it with nearly its name."""
    path = getattr(error, "path", None) or getattr(error, "filename", None)
    if not isinstance(path, str | Path) or Path(path).exists():
        return ""
    import difflib

    try:
        names = [entry.name for entry in Path(path).parent.iterdir()]
    except OSError:
        return ""
    near = difflib.get_close_matches(Path(path).name, names, 1, cutoff=0.75)
    return f"\n(did you mean {one_line(str(Path(path).parent / near[0]))}?)" if near else ""
