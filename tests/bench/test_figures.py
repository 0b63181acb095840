"""What a figure says: ratio, what was wanted, and whether it was met."""

from __future__ import annotations

import json

import pytest

from bench.figures import Figure, from_json, median, table


@pytest.mark.parametrize(
    ("figure", "met"),
    [
        (Figure("w", "c", 10, 5, wanted_ratio=2.0), True),
        (Figure("w", "c", 10, 6, wanted_ratio=2.0), False),
        (Figure("w", "c", 10, share=0.8, wanted_share=0.8), True),
        (Figure("w", "c", 10, 5, share=0.7, wanted_share=0.8, wanted_ratio=2.0), False),
        (Figure("w", "c", 0.3, unit="s", wanted_most=0.29), False),
        (Figure("w", "c", 0.0, unit="s", wanted_most=0.0), True),
        (Figure("w", "c", 10, wanted_ratio=2.0), False),  # what was not measured is not met
        (Figure("w", "c", 10, 5), None),
    ],
)
def test_met(figure: Figure, met: bool | None) -> None:
    assert figure.met is met


def test_a_figure_survives_json() -> None:
    figure = Figure("decode", "Q8_0", 31.0, 25.0, "native", 0.9, "read bandwidth", wanted_share=0.8)
    assert from_json(json.loads(json.dumps(figure.as_json()))) == figure


def test_table() -> None:
    head, line = table([Figure("start", "cold", 0.25, 0.5, "avx2", 0.91, "steady", "s", wanted_most=0.29)])
    assert head.split()[:3] == ["work", "case", "ostinato"]
    assert line.split("  ")[-1] == "avx2"
    for part in ("0.25 s", "0.50", "91 % of steady", "<= 0.29 s", "yes"):
        assert part in line


def test_median_over_rounds() -> None:
    rounds = [{"ostinato": {"decode": value}} for value in (3.0, 1.0, 2.0)]
    assert median(rounds, "ostinato", "decode") == 2.0
