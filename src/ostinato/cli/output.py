"""Plain output for people: tables, sizes, a little emphasis where there is a terminal, and nothing that a file
or a model could use to drive the terminal."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

NARROWEST = 20  # cells of a text that goes over several lines


def print_json(value: Any) -> None:
    """For programs: one JSON value."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def is_terminal() -> bool:
    """Whether a person reads standard output."""
    return sys.stdout.isatty()


def columns() -> int:
    """Of the terminal, or as many as COLUMNS says."""
    import shutil  # with its archives' modules 2 ms, which `run` in a pipe need not wait for

    return shutil.get_terminal_size().columns


def bold(text: str) -> str:
    return _styled(text, "1")


def dim(text: str) -> str:
    return _styled(text, "2")


def _styled(text: str, code: str) -> str:
    plain = not is_terminal() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain else f"\x1b[{code}m{text}\x1b[0m"


# Characters that drive a terminal instead of being shown: C0, DEL and C1 controls, and the marks that turn the
# direction of text around.
_DRIVING = [*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_BREAKS = [ord("\n"), ord("\t"), 0x2028, 0x2029]
_ESCAPED = {code: chr(code).encode("unicode_escape").decode() for code in (*_DRIVING, *_BREAKS)}
_ESCAPED_BUT_BREAKS = {code: text for code, text in _ESCAPED.items() if code not in _BREAKS}


def printable(text: str) -> str:
    """Text without control characters other than line ends and tabs: no escape sequence gets through."""
    return text.translate(_ESCAPED_BUT_BREAKS)


def one_line(text: str) -> str:
    """The same on one line."""
    return text.translate(_ESCAPED)


def print_table(rows: Sequence[Sequence[str]], header: Sequence[str] = (), right: Sequence[int] = ()) -> None:
    """Columns as wide as they must be; those in `right` are aligned to the right, lines are cut at the
    terminal's width."""
    for line in table_lines(rows, header, right):
        print(line)


def table_lines(rows: Sequence[Sequence[str]], header: Sequence[str] = (), right: Sequence[int] = ()) -> Iterator[str]:
    """The lines of such a table."""
    cells = [[one_line(cell) for cell in row] for row in ([header] if header else []) + list(rows)]
    widths = [max(map(cells_of, column)) for column in zip(*cells, strict=True)]
    limit = columns() if is_terminal() else sys.maxsize
    for index, row in enumerate(cells):
        padded = [
            " " * (width - cells_of(cell)) + cell if column in right else cell + " " * (width - cells_of(cell))
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        line = fit("  ".join(padded).rstrip(), limit)
        yield bold(line) if header and index == 0 else line


def unfolded(rows: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """Rows for a table whose last column is read, not skimmed: on a terminal it goes on over several lines."""
    if not is_terminal():
        return list(rows)
    import textwrap

    lead = sum(max(map(cells_of, column)) + 2 for column in list(zip(*rows, strict=True))[:-1])
    width = max(columns() - lead, NARROWEST)
    folded: list[Sequence[str]] = []
    for *before, last in rows:
        first, *others = textwrap.wrap(one_line(last), width) or [""]
        folded += [(*before, first), *((*[""] * len(before), line) for line in others)]
    return folded


def cells_of(text: str) -> int:
    """Columns that a terminal needs for one line of text: wide characters take two, combining ones none."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def _cells(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fit(text: str, columns: int) -> str:
    """One line cut at so many columns."""
    if len(text) * 2 <= columns or cells_of(text) <= columns:
        return text
    used, kept = 0, []
    for character in text:
        used += _cells(character)
        if used > columns - 1:
            break
        kept.append(character)
    return "".join(kept) + "…"


def size(count: float) -> str:
    """Bytes for people: 3.8 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
