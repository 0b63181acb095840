"""bench/routed.py on a small shape: what routers read is what was meant, and use follows skew and drift."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.expert_use import Figures, figures, observe, shared, trace
from bench.routed import PRESET, SIGNAL, Routing, write_routed
from bench.topics import Text
from bench.write_model import PRESETS
from ostinato.gguf.blocks import dequantize
from ostinato.gguf.reader import Tensor, open_gguf

LAYERS, EXPERTS, USED = 3, 16, 4
EVEN = Routing(topic=0.0, skew=0.0, drift=0.0)
SMALL = replace(
    PRESETS[PRESET], layers=LAYERS, width=512, heads=8, kv_heads=4, feed_forward=256, vocab=1024,
    experts=EXPERTS, experts_used=USED,
)  # fmt: skip


def values(tensor: Tensor) -> np.ndarray:
    return dequantize(tensor.data, tensor.type, tensor.shape)


def measure(folder: Path, routing: Routing) -> Figures:
    write_routed(folder / "m.gguf", routing, "test", SMALL)
    use, recalls = observe(folder / "m.gguf", Text().tokens(SMALL.vocab, 300, 1), threads=1)
    assert use.shape == (300, LAYERS, USED)
    return figures(use, recalls, EXPERTS)


def test_without_drift_the_next_router_is_foreseen(tmp_path: Path) -> None:
    assert measure(tmp_path, EVEN).ahead > 0.99


def test_drift_hides_it(tmp_path: Path) -> None:
    assert measure(tmp_path, replace(EVEN, drift=2.0)).ahead < 0.9


def test_skew_is_uneven_use(tmp_path: Path) -> None:
    even, uneven = measure(tmp_path, EVEN), measure(tmp_path, replace(EVEN, skew=2.0))
    assert uneven.entropy < even.entropy - 0.5
    assert uneven.top_quarter > even.top_quarter + 0.1
    assert uneven.reuse > even.reuse + 0.1


def test_layers_leave_the_constant_alone(tmp_path: Path) -> None:
    write_routed(tmp_path / "m.gguf", replace(EVEN, drift=1.0), "test", SMALL)
    with open_gguf(tmp_path / "m.gguf") as file:
        for name in ("blk.1.attn_output.weight", "blk.1.ffn_down_exps.weight"):
            rows = values(file.tensors[name]).reshape(-1, SMALL.width, file.tensors[name].shape[-1])
            assert not rows[:, 0].any()
            assert rows[:, 1].any()
        router = values(file.tensors["blk.1.ffn_gate_inp.weight"])
        assert not router[:, SIGNAL:].any()


def test_figures_of_a_known_use() -> None:
    use = np.array([[[0, 1]], [[1, 2]], [[1, 2]], [[1, 3]]], np.int32)  # 4 tokens, 1 layer, 2 of 4 experts
    found = figures(use, [0.5], 4)
    assert found.top_quarter == 0.5  # expert 1: 4 of 8
    assert found.entropy == pytest.approx(0.5 * 1 + 0.25 * 2 + 2 * 0.125 * 3)
    assert found.reuse == pytest.approx((0.5 + 1 + 0.5) / 3)
    assert shared(use[:1, 0], use[1:2, 0]) == 0.5
    assert trace(use, 4).parcels.tolist() == [0, 1, 1, 2, 1, 2, 1, 3]
