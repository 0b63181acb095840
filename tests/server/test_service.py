"""Health, readiness, metrics, and what `ps` reads."""

from __future__ import annotations

import pytest

from ostinato.engine.records_table import COUNTERS
from tests.server.conftest import Served
from tests.support import ROOT

STORE_COUNTERS = [name for name in COUNTERS if name.startswith("store_")]


def sample(text: str, name: str) -> float:
    """The value of a metric in the exposition format."""
    line = next(line for line in text.splitlines() if line.startswith(name + " "))
    return float(line.rsplit(" ", 1)[1])


def test_health_and_ready(served: Served) -> None:
    with served.http() as client:
        assert client.get("/ready").status_code == 200
        served.engine.ready = False
        assert client.get("/health").status_code == 200
        answer = client.get("/ready")
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert "it is starting" in answer.json()["error"]["message"]
        served.engine.down = "no memory"
        assert "no memory" in client.get("/ready").json()["error"]["message"]


def test_engines(served: Served) -> None:
    with served.http() as client:
        (engine,) = client.get("/engines").json()
    assert {"name", "engine_pid", "backend", "memory_bytes"} <= set(engine)
    assert engine["name"] == "fake"
    assert engine["engine_pid"] == 4711


def test_metrics(served: Served) -> None:
    with served.http() as client:
        before = client.get("/metrics").text
        assert client.post("/v1/completions", json={"prompt": "abc"}).status_code == 200
        assert client.post("/v1/completions", json={"nonsense": 1}).status_code == 400
        after = client.get("/metrics").text

    def growth(name: str) -> float:
        return sample(after, name) - sample(before, name) if name in before else sample(after, name)

    assert growth('ostinato_http_requests_total{route="complete",status="200"}') == 1
    assert growth('ostinato_http_requests_total{route="complete",status="400"}') == 1
    assert growth('gen_ai_server_tokens_total{gen_ai_token_type="input"}') == 4
    assert growth('gen_ai_server_tokens_total{gen_ai_token_type="output"}') == 4
    assert growth("gen_ai_server_time_to_first_token_seconds_count") == 1
    assert growth("gen_ai_server_time_per_output_token_seconds_count") == 3
    assert sample(after, "ostinato_engine_restarts_total") == 2
    assert sample(after, "ostinato_kv_blocks_free") == 7
    assert sample(after, "ostinato_http_requests_active") == 1  # this very call


def test_metrics_of_a_weight_store(served: Served) -> None:
    with served.http() as client:
        assert "ostinato_store" not in client.get("/metrics").text
        served.engine.store = {name: index + 1 for index, name in enumerate(STORE_COUNTERS)}
        text = client.get("/metrics").text
        served.engine.store = dict.fromkeys(STORE_COUNTERS, 0)  # what an engine without one leaves
        assert "ostinato_store" not in client.get("/metrics").text
    counts = {name.removeprefix("store_"): index + 1 for index, name in enumerate(STORE_COUNTERS)}
    wanted = counts["hits"] + counts["misses"]
    assert sample(text, "ostinato_store_hits_total") == counts["hits"]
    assert sample(text, "ostinato_store_demand_bytes_total") == counts["demand_bytes"]
    assert sample(text, "ostinato_store_slot_bytes") == counts["slot_bytes"]
    assert sample(text, "ostinato_store_hit_ratio") == pytest.approx(counts["hits"] / wanted)
    assert sample(text, "ostinato_store_prefetch_recall") == pytest.approx(counts["foreseen"] / wanted)
    assert sample(text, "ostinato_store_stall_seconds_total") == pytest.approx(1e-9 * counts["stall_ns"])
    assert sample(text, "ostinato_store_read_latency_seconds") == pytest.approx(1e-9 * counts["read_latency_ns"])
    documented = (ROOT / "docs" / "server.md").read_text()
    for line in text.splitlines():
        if line.startswith("ostinato_store_"):
            assert f"`{line.split()[0].removeprefix('ostinato_store_')}`" in documented, line


def test_metrics_of_experts_on_a_device(served: Served) -> None:
    names = [name for name in COUNTERS if name.startswith("gpu_")]
    with served.http() as client:
        served.engine.store = {name: index + 1 for index, name in enumerate(names)}
        text = client.get("/metrics").text
        served.engine.store = dict.fromkeys(names, 0)
        assert "ostinato_gpu" not in client.get("/metrics").text
    assert sample(text, "ostinato_gpu_expert_hits_total") == 1
    assert sample(text, "ostinato_gpu_expert_hit_ratio") == pytest.approx(1 / 3)
    assert sample(text, "ostinato_gpu_parcel_bytes") == len(names)
    documented = (ROOT / "docs" / "server.md").read_text()
    for line in text.splitlines():
        if line.startswith("ostinato_gpu_"):
            assert f"`{line.split()[0].removeprefix('ostinato_gpu_')}`" in documented, line


@pytest.mark.parametrize("path", ["/a", "/b/c", "/v1/models/x"])
def test_callers_cannot_make_labels(served: Served, path: str) -> None:
    with served.http() as client:
        client.get(path)
        assert path not in client.get("/metrics").text
