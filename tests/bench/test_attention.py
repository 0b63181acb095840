"""The floors that bench/attention.py holds `attend` against."""

from __future__ import annotations

import pytest

from bench.attention import floors
from ostinato.backends.contract import KVType


def test_floors() -> None:
    """8 query heads on 2 KV heads of 64 elements; one row behind 99 others, then two rows of which one sees less."""
    one = floors("8/2/64", 100, KVType.F16, 1, peak=1e9, bandwidth=1e9)
    assert one == {"memory": pytest.approx(100 * 2 * 2 * 64 * 2 / 1e3), "arithmetic": pytest.approx(204.8)}
    assert 204.8 == 8 * 64 * 100 * 2 * 2 / 1e3, "products of keys and of values, a multiply-add is two operations"
    two = floors("8/2/64", 100, KVType.F16, 2, peak=1e9, bandwidth=1e9)
    assert two["arithmetic"] == pytest.approx(one["arithmetic"] * (99 + 100) / 100)
    assert two["memory"] == one["memory"]


def test_a_level_without_a_measured_peak_has_one_floor() -> None:
    assert floors("8/2/64", 100, KVType.Q8_0, 1, peak=0.0, bandwidth=1e9)["arithmetic"] == 0.0
