"""A progress bar with a rate, for work that takes longer than one wants to stare at nothing.

    with progress("quantising", total_bytes) as bar:
        bar.advance(n)

It is drawn on standard error, if that is a terminal, and only once the work has taken half a second. When the work
ends, well or badly, its line is cleared: what there is to say, the command says.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from ostinato.cli.output import columns, fit, one_line, size

Item = TypeVar("Item")

DELAY = 0.5  # seconds before anything is drawn
INTERVAL = 0.1  # seconds between two drawings
WIDTH = 24  # cells of the bar itself
BYTES = "B"
CLEAR = "\r\x1b[K"  # to the start of the line, and erase it


class Progress:
    """So much of `total` units is done; None where the end is not known. `unit` is "B" for bytes, else a plural."""

    def __init__(self, what: str, total: float | None = None, unit: str = BYTES) -> None:
        self.what, self.total, self.unit = one_line(what), total, unit
        self.done = 0.0
        self.note = ""  # what else there is to see, at the end of the line
        self._started = time.monotonic()
        self._next = self._started + DELAY
        self._drawn = False
        self._shown = draws(sys.stderr.isatty())

    def advance(self, count: float = 1) -> None:
        """`count` more units are done."""
        self.done += count
        if self._shown and time.monotonic() >= self._next:
            self._draw()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._drawn:
            sys.stderr.write(CLEAR)
            sys.stderr.flush()

    def line(self, seconds: float) -> str:
        """What is shown after so many seconds."""
        rate = self.done / seconds if seconds > 0 else 0.0
        parts = [self.what, self._amount(self.done), f"{self._amount(rate)}/s", self.note]
        if self.total:
            share = min(self.done / self.total, 1.0)
            parts[1:2] = [_bar(share), f"{self._count(self.done)} of {self._amount(self.total)}"]
            if 0 < self.done < self.total:
                parts.insert(-1, f"{clock((self.total - self.done) / rate)} left")
        return "  ".join(filter(None, parts))

    def _amount(self, count: float) -> str:
        return self._count(count) if self.unit == BYTES else f"{self._count(count)} {self.unit}"

    def _count(self, count: float) -> str:
        if self.unit == BYTES:
            return size(count)
        return f"{count:,.0f}" if count >= 10 or count == int(count) else f"{count:.1f}"

    def _draw(self) -> None:
        now = time.monotonic()
        sys.stderr.write(CLEAR + fit(self.line(now - self._started), columns() - 1))
        sys.stderr.flush()
        self._drawn = True
        self._next = now + INTERVAL


def _bar(share: float) -> str:
    filled = round(share * WIDTH)
    full, empty = "█░" if (sys.stderr.encoding or "utf").lower().startswith("utf") else "#."
    return f"{share:4.0%} {full * filled}{empty * (WIDTH - filled)}"


def progress(what: str, total: float | None = None, unit: str = BYTES) -> Progress:
    """A bar to be used in a `with`."""
    return Progress(what, total, unit)


def counted(items: Iterable[Item], what: str, total: float | None = None, unit: str = "items") -> Iterator[Item]:
    """The items, with a bar that counts them."""
    with progress(what, total, unit) as bar:
        for item in items:
            yield item
            bar.advance()


def draws(is_terminal: bool) -> bool:
    """Whether a line can be drawn over again: a terminal that understands how to erase one."""
    return is_terminal and os.environ.get("TERM", "dumb") != "dumb"


def clock(seconds: float) -> str:
    """0:07, 12:30, 1:02:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
