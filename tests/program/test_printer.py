"""Numbers in listings."""

from __future__ import annotations

import pytest

from ostinato.program.printer import si


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, ""),
        (0.5, "0.5 B"),
        (999, "999 B"),
        (999.7, "1 kB"),
        (9.44e9, "9.44 GB"),
        (999_700, "1 MB"),
        (3e15, "3e+03 TB"),
    ],
)
def test_three_digits_with_a_prefix(value: float, text: str) -> None:
    assert si(value, "B") == text


def test_without_a_unit() -> None:
    assert [si(12), si(12_000)] == ["12", "12 k"]
