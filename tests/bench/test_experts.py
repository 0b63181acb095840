"""What bench/experts.py is made of, without models and control groups: forced texts, medians, bounds."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bench.disk import CHUNK, sequential_bandwidth
from bench.expert_bounds import decoding_trace
from bench.expert_figures import lines, medians, summary
from bench.expert_runs import OURS, PEER
from bench.forced import WARM, forced
from bench.worker import ROOT

RUN = {
    "tokens": 10, "decode_seconds": 2.0, "decode_read_bytes": 50, "prefill_seconds": 1.0, "peak_bytes": 100,
    "hits": 3, "misses": 1, "stall_ns": 10**9, "foreseen": 2,
}  # fmt: skip


def test_every_token_is_given_once_at_its_position() -> None:
    seen: list[tuple[list[int], int]] = []
    count = iter(range(100))
    tokens = list(range(1000, 1000 + WARM + 5))
    record = forced(lambda rows, at: seen.append((list(rows), at)), [1, 2, 3], tokens, 9.0, lambda: {"n": next(count)})
    assert seen == [([1, 2, 3], 0), *(([token], 3 + i) for i, token in enumerate(tokens))]
    assert record["tokens"] == 5
    assert record["n"] == 1


def test_a_slow_engine_stops_in_time() -> None:
    def step(rows: Sequence[int], at: int) -> None:
        time.sleep(0.02)

    record = forced(step, [1], list(range(WARM + 100)), 0.1)
    assert 1 <= record["tokens"] <= 6
    assert record["decode_seconds"] >= 0.1


def test_reads_are_counted(tmp_path: Path) -> None:
    if not Path("/proc/self/io").exists():
        pytest.skip("this system does not count what a process reads")
    code = "import json; from bench.worker import read_bytes; print(json.dumps(read_bytes()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert json.loads(done.stdout) >= 0


def test_the_disk_is_read_in_whole_pieces(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(2 * CHUNK))
    try:
        rate = sequential_bandwidth(path, seconds=0.05)
    except OSError as error:
        pytest.skip(f"this file system has no direct reads: {error}")
    assert rate > 0
    path.write_bytes(b"short")
    with pytest.raises(ValueError, match="says nothing about a disk"):
        sequential_bandwidth(path)


def test_medians_are_of_runs_that_succeeded() -> None:
    rates = medians([RUN, {"error": "killed"}, {**RUN, "tokens": 20}, {**RUN, "tokens": 30}])
    assert rates["decode"] == 10
    assert rates["bytes_per_token"] == 2.5
    assert rates["hit_rate"] == 0.75
    assert rates["recall"] == 0.5
    assert medians([{"error": "killed"}]) == {}


def test_the_table_compares_with_the_better_peer_and_with_full_residence() -> None:
    slow, slower = {**RUN, "tokens": 4}, {**RUN, "tokens": 2}
    rows = {
        "m no limit": {"case": "m", "budget": None, "limit_bytes": None, "runs": {OURS: [{**RUN, "tokens": 20}]}},
        "m 50": {
            "case": "m", "budget": 50, "limit_bytes": 100,
            "runs": {OURS: [RUN], PEER: [slower], f"{PEER}, other": [slow], "ostinato, x": [{"error": "no"}]},
        },
    }  # fmt: skip
    report = {"rows": rows, "disk_bytes_per_second": [2e9]}
    assert summary(report)["m 50"]["peer"]["decode"] == 2
    ours, peer, other, failed = (line.split() for line in lines(report)[2:6])
    assert ours[-2:] == ["0.50", "2.50"]
    assert peer[-1] == "0.50"
    assert other[-1] == "1.00"
    assert failed[-1] == "failed"


def test_a_prompt_is_one_step_of_each_layer() -> None:
    use = np.array([[[0, 1], [2, 3]], [[1, 2], [0, 3]], [[0, 3], [1, 2]]], np.int32)  # 3 tokens, 2 layers, 2 of 4
    trace = decoding_trace(use, prompt=2, experts=4)
    assert np.split(trace.parcels, trace.first[1:-1])[0].tolist() == [0, 1, 2]
    assert np.diff(trace.first).tolist() == [3, 3, 2, 2]
    assert trace.parcels.tolist()[3:] == [4, 6, 7, 0, 3, 5, 6]
