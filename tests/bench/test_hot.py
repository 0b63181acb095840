"""bench/hot.py on a small trace: shares between none and all, and no more bus than reads and moves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.hot import SHARES, hot, line, read
from ostinato.memory.trace import TraceError, make_trace

LAYERS, EXPERTS, TOKENS = 2, 8, 200


@pytest.fixture
def path(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    steps = [
        [layer * EXPERTS + int(e) for e in random.permutation(4)[:2]] for _ in range(TOKENS) for layer in range(LAYERS)
    ]
    make_trace(steps).save(tmp_path / "trace.npz")
    return tmp_path / "trace.npz"


def test_a_trace_is_told_by_tokens(path: Path) -> None:
    text = read(path, LAYERS, EXPERTS)
    assert (text.tokens, int(text.wanted.sum())) == (TOKENS, TOKENS * LAYERS * 2)
    found = hot(text, slots=LAYERS * 4, look=4)
    assert found.device_reads + found.bus_reads == text.wanted.sum()
    assert found.moves <= 4, "the wanted ones are the first four of each layer"
    for share in SHARES:
        assert line(text, share).count("bus") == 5


def test_another_model_s_is_refused(path: Path) -> None:
    with pytest.raises(TraceError):
        read(path, LAYERS, EXPERTS // 4)
