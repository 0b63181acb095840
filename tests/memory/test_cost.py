"""Latency and rate from timings: exact ones, noisy ones, and some that were held up."""

from __future__ import annotations

import random
from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.memory.cost import FASTEST, Line, Sample, fit

SIZES = [1 << bits for bits in range(12, 27, 2)]
BUS = Line(10e-6, 25e9)
DISK = Line(100e-6, 2.4e9)


def timed(line: Line, sizes: list[int] = SIZES, noise: float = 0.0, seed: int = 0) -> list[Sample]:
    draw = random.Random(seed)
    return [Sample(size, line.seconds(size) * (1 + draw.uniform(-noise, noise))) for size in sizes]


@pytest.mark.parametrize("line", [BUS, DISK, Line(0.0, 1e9)])
def test_exact_timings_give_the_line_back(line: Line) -> None:
    found = fit(timed(line))
    assert found.latency == pytest.approx(line.latency, abs=1e-12)
    assert found.rate == pytest.approx(line.rate)


@pytest.mark.parametrize("line", [BUS, DISK])
@pytest.mark.parametrize("seed", range(5))
def test_noise_of_five_percent(line: Line, seed: int) -> None:
    found = fit(timed(line, SIZES * 3, 0.05, seed))
    assert found.latency == pytest.approx(line.latency, rel=0.1)
    assert found.rate == pytest.approx(line.rate, rel=0.1)


@pytest.mark.parametrize("held_up", range(len(SIZES)))
@pytest.mark.parametrize("factor", [0.1, 3, 100])
def test_one_that_lies_far_off_changes_little(held_up: int, factor: float) -> None:
    samples = timed(BUS, SIZES * 3, 0.02)
    samples[held_up] = Sample(samples[held_up].nbytes, samples[held_up].seconds * factor)
    found = fit(samples)
    assert found.latency == pytest.approx(BUS.latency, rel=0.1)
    assert found.rate == pytest.approx(BUS.rate, rel=0.1)


def test_neither_part_is_negative() -> None:
    faster_when_larger = [Sample(1000, 2e-3), Sample(2000, 1e-3), Sample(3000, 1e-3)]
    assert fit(faster_when_larger).rate == FASTEST
    assert isfinite(fit(faster_when_larger).seconds(5000))
    steeper_than_through_zero = [Sample(1000, 1e-3), Sample(2000, 3e-3), Sample(3000, 6e-3)]
    assert fit(steeper_than_through_zero).latency == 0


@pytest.mark.parametrize(
    "samples", [[], [Sample(5, 1.0)], [Sample(5, 1.0), Sample(5, 2.0)], [Sample(1, 0.0), Sample(2, 1.0)]]
)
def test_too_little_to_fit(samples: list[Sample]) -> None:
    with pytest.raises(ValueError, match="two sizes"):
        fit(samples)


@given(st.lists(st.tuples(st.integers(1, 1 << 30), st.floats(1e-7, 10.0)), min_size=2, max_size=20))
def test_any_timings_make_some_line(pairs: list[tuple[int, float]]) -> None:
    samples = [Sample(nbytes, seconds) for nbytes, seconds in pairs]
    if len({sample.nbytes for sample in samples}) < 2:
        return
    found = fit(samples)
    assert found.latency >= 0
    assert 0 < found.rate <= FASTEST
    assert found.seconds(1 << 20) > 0
