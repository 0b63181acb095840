"""Typed texts: what is unfinished, what quotes enclose, and the history file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ostinato.cli.lines import KEPT, LONGEST, History, plain, unfinished


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("one line", ""), ("goes on \\", "\\"), ("a path C:\\\\", ""), ("three \\\\\\", "\\"), ("", ""),
        ('"""', '"""'), ('"""a', '"""'), ('"""a"""', ""), ('"""a\nb"""  ', ""), ('"""a\n\\', '"""'), ('a """', ""),
        ('/set system """a', '"""'), ('/set system """a"""', ""), ('/save """a', ""), ('""""', '"""'), ('""""""', ""),
    ],
)  # fmt: skip
def test_unfinished(text: str, more: str) -> None:
    assert unfinished(text) == more


def test_plain() -> None:
    assert plain("a b") == "a b"
    assert plain('"""\na\n\nb\n"""') == "a\n\nb"
    assert plain('  """a"""') == "a"
    assert plain('"""say "hi\\"""" ') == 'say "hi\\"'


def test_history_is_kept_in_order_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "history"
    history = History(lambda: path)
    assert history.load() == []
    for text in ("one", "two\nlines", "東京 \udc80", "x" * (LONGEST + 1)):
        history.add(text)
    assert History(lambda: path).load() == ["one", "two\nlines", "東京 \udc80"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_history_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_text("".join(json.dumps(str(n)) + "\n" for n in range(2 * KEPT + 1)))
    assert History(lambda: path).load() == [str(n) for n in range(KEPT + 1, 2 * KEPT + 1)]
    assert len(path.read_text().splitlines()) == KEPT


def test_a_damaged_history_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_bytes(b'"good"\n\xff\xfe\n{"a": 1}\nnull\n"nul\\u0000"\n' + b"[" * 100_000 + b'\n"last"\n"torn')
    assert History(lambda: path).load() == ["good", "last"]
