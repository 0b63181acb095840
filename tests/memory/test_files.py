"""Traces and profiles on disk: what is saved comes back, what strangers made is checked whole."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ostinato import _memory
from ostinato.memory.parcels import ExpertStack, Extent, Parcel, Parcels
from ostinato.memory.profile import Profile, ProfileError, hottest, load_profile, make_profile
from ostinato.memory.simulate import best_half_life
from ostinato.memory.statistics import by_layer, statistics
from ostinato.memory.trace import TraceError, load_trace, make_trace, take_trace
from tests.memory.worlds import ScriptedSource, ints, world

STEPS = [[0, 1], [5], [], [2, 1]]
PARCELS = Parcels(
    tuple(Parcel(p // 3, (Extent(0, p, 1),)) for p in range(6)), 0,
    (ExpertStack(0, (None, None, None), 0, 3, ()), ExpertStack(1, (None, None, None), 3, 3, ())),
)  # fmt: skip


def test_a_trace_comes_back(tmp_path: Path) -> None:
    make_trace(STEPS).save(tmp_path / "t.npz")
    back = load_trace(tmp_path / "t.npz", 6)
    assert [back.parcels[back.first[s] : back.first[s + 1]].tolist() for s in range(back.steps)] == STEPS
    with pytest.raises(TraceError, match="another model"):
        load_trace(tmp_path / "t.npz", 5)


@pytest.mark.parametrize(
    "arrays",
    [
        {"first": np.array([0, 9]), "parcels": ints([1]), "left_out": np.int64(0)},
        {"first": np.array([0, 2, 1, 2]), "parcels": ints([1, 2]), "left_out": np.int64(0)},
        {"first": np.zeros((2, 2), np.int64), "parcels": ints([1]), "left_out": np.int64(0)},
        {"first": np.array([0.0, 1.0]), "parcels": ints([1]), "left_out": np.int64(0)},
        {"first": np.array([0, 1]), "parcels": np.array([{}], object), "left_out": np.int64(0)},
        {"first": np.array([0, 1])},
    ],
)
def test_a_file_that_holds_no_trace(tmp_path: Path, arrays: dict[str, Any]) -> None:
    np.savez(tmp_path / "t.npz", **arrays)
    with pytest.raises(TraceError, match=r"t\.npz"):
        load_trace(tmp_path / "t.npz", 6)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"{}"])
def test_a_file_that_is_no_archive(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.npz").write_bytes(content)
    with pytest.raises(TraceError):
        load_trace(tmp_path / "t.npz", 6)


def test_the_store_records_what_was_wanted() -> None:
    w = world(6, layers=2)
    store = w.store(ScriptedSource(w.data), 6)
    request = _memory.Request(store)
    store.start_trace(limit=5)
    for step in [*STEPS, [3], [0]]:
        request.want(ints(step))
        request.clear()
    trace = take_trace(store)
    assert (trace.first.tolist(), trace.parcels.tolist(), trace.left_out) == ([0, 2, 3, 3, 5], [0, 1, 5, 2, 1], 2)
    assert take_trace(store).steps == 0
    assert statistics(store).wanted == 7
    assert [s.wanted for s in by_layer(store)] == [5, 2]


def test_a_profile_comes_back(tmp_path: Path) -> None:
    profile = make_profile(PARCELS, make_trace([[0, 4], [4], [5, 0], [4]]))
    assert profile == Profile((0, 1), ((2, 0, 0), (0, 3, 1)))
    profile.save(tmp_path / "p.json")
    assert load_profile(tmp_path / "p.json", PARCELS.stacks) == profile
    assert hottest(profile, PARCELS.stacks, [0] * 6, [2]) == [4, 0]
    assert hottest(profile, PARCELS.stacks, [0, 0, 0, 1, 1, 1], [3, 1]) == [4, 0], "what was never wanted is not kept"


GOOD: dict[str, Any] = {
    "format": "ostinato-experts", "version": 1,
    "stacks": [{"layer": 0, "counts": [1, 2, 3]}, {"layer": 1, "counts": [0, 0, 9]}],
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"}, {"version": 2}, {"version": None},
        {"stacks": None}, {"stacks": [1, 2]}, {"stacks": [{}, {}]},
        {"stacks": GOOD["stacks"][:1]}, {"stacks": [{"layer": 0, "counts": [1, 2]}, GOOD["stacks"][1]]},
        {"stacks": [{"layer": 7, "counts": [1, 2, 3]}, GOOD["stacks"][1]]},
        *({"stacks": [{"layer": 0, "counts": [1, 2, bad]}, GOOD["stacks"][1]]} for bad in (-1, 1.5, True, "3")),
    ],
)  # fmt: skip
def test_a_profile_of_strangers(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(GOOD))
    load_profile(path, PARCELS.stacks)
    path.write_text(json.dumps(GOOD | change))
    with pytest.raises(ProfileError, match=str(path)):
        load_profile(path, PARCELS.stacks)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[" * 100_000, b"1" * 10_000, b"[1, 2]", b"NaN"])
def test_a_profile_that_is_no_json(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p.json").write_bytes(content)
    with pytest.raises(ProfileError):
        load_profile(tmp_path / "p.json", PARCELS.stacks)


@pytest.mark.timeout(20)
def test_a_fifo_is_neither_a_trace_nor_a_profile(tmp_path: Path) -> None:
    """And is not waited for."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ProfileError, match="fifo: not a regular file"):
        load_profile(tmp_path / "fifo", PARCELS.stacks)
    with pytest.raises(TraceError, match="fifo: not a regular file"):
        load_trace(tmp_path / "fifo", 6)


def test_the_best_half_life_follows_the_trace() -> None:
    rng = np.random.default_rng(0)
    weights = np.array([8, 7, 6, 5, 1, 1, 1, 1]) / 30
    even = make_trace([rng.choice(8, 1, p=weights).tolist() for _ in range(2000)])
    topics = [rng.choice(8, 4, replace=False) for _ in range(50)]
    phases = make_trace([[int(rng.choice(topic))] for topic in topics for _ in range(40)])
    assert best_half_life(phases, [0] * 8, [4], 1) < best_half_life(even, [0] * 8, [4], 1)
