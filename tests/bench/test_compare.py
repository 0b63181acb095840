"""The arithmetic of the comparison: medians, ratios, the floor."""

from __future__ import annotations

import pytest

from bench.compare import medians, summarise


def record(decode: float, load: float = 1.0) -> dict[str, float]:
    return {"decode_tokens_per_second": decode, "load_seconds": load, "prefill_tokens_per_second": 100.0}


def test_medians_of_the_shared_fields_only() -> None:
    rounds = [record(10), record(30), {"decode_tokens_per_second": 20.0}]
    assert medians(rounds) == {"decode_tokens_per_second": 20.0}


def test_ratios_and_floor() -> None:
    summary = summarise([record(10, load=2.0)], [record(20)], floor=0.01)
    assert summary["ratio_ostinato_to_peer"]["load_seconds"] == 2.0
    assert summary["time_per_token_ratio"] == 2.0
    assert summary["times_the_floor"] == {"ostinato": pytest.approx(10), "peer": pytest.approx(5)}
