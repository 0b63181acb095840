"""Progress bars: what a line says, when it is drawn, and that it leaves nothing behind."""

from __future__ import annotations

import io

import pytest

from ostinato.cli.output import cells_of, fit
from ostinato.cli.progress import CLEAR, Progress, clock, counted, progress


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Tty:
    """Becomes standard error. (No fixture: pytest puts its own stream back after setup.)"""
    stream = Tty()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    return stream


def test_a_line_has_share_amount_rate_and_time_left() -> None:
    bar = progress("reading", 4e9)
    bar.advance(1e9)
    line = bar.line(2.0)
    assert line.startswith("reading   25% ██████░")
    assert line.endswith("1.0 GB of 4.0 GB  500.0 MB/s  0:06 left")


def test_without_a_total_the_line_counts() -> None:
    bar = progress("scoring", None, "tokens")
    bar.advance(1500)
    assert bar.line(1.0) == "scoring  1,500 tokens  1,500 tokens/s"


def test_quick_work_draws_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tty = terminal(monkeypatch)
    with progress("quick", 3, "steps") as bar:
        bar.advance(3)
    assert tty.getvalue() == ""


def test_slow_work_is_drawn_and_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    tty = terminal(monkeypatch)
    monkeypatch.setattr("ostinato.cli.progress.DELAY", 0.0)
    with progress("slow\x1b[31m", 2, "steps") as bar:
        bar.advance()
    assert "50%" in tty.getvalue()
    assert "slow\\x1b[31m" in tty.getvalue()
    assert tty.getvalue().endswith(CLEAR)


def test_nothing_is_drawn_where_no_terminal_is(monkeypatch: pytest.MonkeyPatch) -> None:
    tty = terminal(monkeypatch)
    tty.isatty = lambda: False  # type: ignore[method-assign]
    bar = Progress("work", 2)
    bar._next = 0.0
    bar.advance()
    assert tty.getvalue() == ""


def test_counted_passes_items_through() -> None:
    assert list(counted("abc", "letters", 3)) == ["a", "b", "c"]


def test_clock() -> None:
    assert [clock(s) for s in (7.9, 750, 3723)] == ["0:07", "12:30", "1:02:03"]


def test_cells_and_fit() -> None:
    assert [cells_of(t) for t in ("abc", "東京", "é", "e\u0301", "a\u200db")] == [3, 4, 1, 1, 2]
    assert fit("東京都", 5) == "東京…"
    assert fit("東京都", 6) == "東京都"
    assert fit("abcdef", 4) == "abc…"
