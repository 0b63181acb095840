"""Figures of bench/cpu.py: what was measured, what was wanted, and the table that people read."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

Record = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """One line of the table. Rates are tokens a second, unless `unit` says otherwise; less is better of seconds."""

    work: str
    case: str
    ours: float
    peer: float | None = None
    how: str = ""  # the peer's build and settings
    share: float | None = None  # of what `share_of` names
    share_of: str = ""
    unit: str = "tokens/s"
    wanted_ratio: float | None = None  # at least, ours to the peer's
    wanted_share: float | None = None  # at least
    wanted_most: float | None = None  # of `ours`

    @property
    def ratio(self) -> float | None:
        return self.ours / self.peer if self.peer else None

    @property
    def wanted(self) -> str:
        parts = [f">= {self.wanted_ratio:g}x"] if self.wanted_ratio else []
        parts += [f">= {100 * self.wanted_share:.0f} %"] if self.wanted_share else []
        parts += [f"<= {self.wanted_most:.3g} {self.unit}"] if self.wanted_most is not None else []
        return " and ".join(parts)

    @property
    def met(self) -> bool | None:
        """None where nothing was wanted."""
        checks = [
            value is not None and value >= wanted
            for value, wanted in ((self.ratio, self.wanted_ratio), (self.share, self.wanted_share))
            if wanted is not None
        ]
        checks += [self.ours <= self.wanted_most] if self.wanted_most is not None else []
        return all(checks) if checks else None

    def as_json(self) -> Record:
        return {**asdict(self), "ratio": self.ratio, "wanted": self.wanted, "met": self.met}


FIELDS = tuple(Figure.__dataclass_fields__)
HEADER = ("work", "case", "ostinato", "llama.cpp", "ratio", "share", "wanted", "met", "llama.cpp's best")
NUMBERS = range(2, 6)  # columns
SHOWN_MET = {True: "yes", False: "NO", None: ""}


def from_json(record: Record) -> Figure:
    return Figure(**{name: record[name] for name in FIELDS})


def median(rounds: Sequence[Record], name: str, figure: str) -> float:
    """Over all rounds, of one figure of one engine."""
    return statistics.median(float(r[name][figure]) for r in rounds)


def table(figures: Iterable[Figure]) -> list[str]:
    """Lines for a terminal."""
    rows = [HEADER, *(_cells(f) for f in figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(_aligned, range(len(r)), r, widths)).rstrip() for r in rows]


def _aligned(column: int, cell: str, width: int) -> str:
    return cell.rjust(width) if column in NUMBERS else cell.ljust(width)


def _cells(f: Figure) -> tuple[str, ...]:
    unit = "" if f.unit == "tokens/s" else f" {f.unit}"
    return (
        f.work,
        f.case,
        f"{f.ours:.3g}{unit}",
        f"{f.peer:.3g}{unit}" if f.peer is not None else "",
        f"{f.ratio:.2f}" if f.ratio is not None else "",
        f"{100 * f.share:.0f} % of {f.share_of}" if f.share is not None else "",
        f.wanted,
        SHOWN_MET[f.met],
        f.how,
    )
