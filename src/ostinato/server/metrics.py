"""Metrics for Prometheus, named after OpenTelemetry's conventions for generative AI where those have a name.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/ (dots become underscores, units a suffix).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ostinato import _memory
from ostinato.memory.statistics import Statistics

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counts of one server; a registry of its own, so that two servers in a process do not mix."""

    def __init__(self, engine_info: Callable[[], Mapping[str, Any]]) -> None:
        own = self._registry = CollectorRegistry()
        self._requests = Counter(
            "ostinato_http_requests", "Calls by route and status.", ("route", "status"), registry=own
        )
        self._active = Gauge("ostinato_http_requests_active", "Calls being answered.", registry=own)
        self._tokens = Counter("gen_ai_server_tokens", "Tokens taken and made.", ("gen_ai_token_type",), registry=own)
        self._duration = _seconds("request_duration", "From a call to the end of its answer.", own, ("route",))
        self._first = _seconds("time_to_first_token", "From submission to the first token.", own)
        self._next = _seconds("time_per_output_token", "Between two tokens.", own)
        own.register(_EngineCollector(engine_info))

    def begin(self) -> None:
        """A call came in."""
        self._active.inc()

    def end(self, route: str, status: int, seconds: float) -> None:
        """Its answer has ended. `route` is a pattern of ours, never a caller's text."""
        self._active.dec()
        self._requests.labels(route, str(status)).inc()
        self._duration.labels(route).observe(seconds)

    def token(self, first: bool, seconds: float) -> None:
        """A token came, this long after the one before (or after the request)."""
        (self._first if first else self._next).observe(seconds)

    def tokens(self, prompt: int, generated: int) -> None:
        """A job has ended."""
        self._tokens.labels("input").inc(prompt)
        self._tokens.labels("output").inc(generated)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self._registry)


def _seconds(what: str, text: str, registry: CollectorRegistry, labels: Sequence[str] = ()) -> Histogram:
    return Histogram(f"gen_ai_server_{what}_seconds", text, labels, buckets=SECONDS, registry=registry)


# Keys of EngineClient.info() -> metric, what it says, and whether it only grows (until the engine restarts).
ENGINE = {
    "ready": ("ostinato_engine_ready", "Whether the engine takes requests.", False),
    "restarts": ("ostinato_engine_restarts", "How often the engine was started again.", True),
    "memory_bytes": ("ostinato_engine_memory_bytes", "Resident memory of the engine.", False),
    "running": ("ostinato_requests_running", "Sequences in the batch.", False),
    "waiting": ("ostinato_requests_waiting", "Sequences in the queue.", False),
    "free_blocks": ("ostinato_kv_blocks_free", "KV blocks that hold nothing needed.", False),
    "steps": ("ostinato_engine_steps", "Steps committed.", True),
    "runs": ("ostinato_engine_runs", "Runs of steps that the device did by itself.", True),
    "preemptions": ("ostinato_preemptions", "Sequences put back, to be computed again.", True),
    "prefix_hits": ("ostinato_prefix_hit_tokens", "Prompt tokens found computed.", True),
}

# Likewise, where weights stream from a store.
STORE = {
    "store_hits": ("ostinato_store_hits", "Experts that were in memory when they were wanted.", True),
    "store_misses": ("ostinato_store_misses", "Experts that were not.", True),
    "store_late": ("ostinato_store_late", "Of the misses, those whose prefetch was on its way.", True),
    "store_hinted": ("ostinato_store_hinted", "Experts that were foreseen.", True),
    "store_foreseen": ("ostinato_store_foreseen", "Of those that were wanted, the foreseen ones.", True),
    "store_wasted": ("ostinato_store_wasted", "Prefetches of what nobody wanted.", True),
    "store_evictions": ("ostinato_store_evictions", "Experts that went, for others to come.", True),
    "store_failures": ("ostinato_store_failures", "Reads that failed.", True),
    "store_demand_bytes": ("ostinato_store_demand_bytes", "Bytes read while a step waited for them.", True),
    "store_prefetch_bytes": ("ostinato_store_prefetch_bytes", "Bytes read ahead of time.", True),
    "store_replica_bytes": ("ostinato_store_replica_bytes", "Of both, those that a replica served.", True),
    "store_coarse": ("ostinato_store_coarse", "Hits and misses that were of a copy in fewer bits.", True),
    "store_read_rate": (
        "ostinato_store_read_bytes_per_second",
        "Of reads, as fitted at start for coarse copies.",
        False,
    ),
    "store_budget_bytes": ("ostinato_store_budget_bytes", "Memory that slots may take.", False),
    "store_slot_bytes": ("ostinato_store_slot_bytes", "Memory that slots take.", False),
    "store_used_bytes": ("ostinato_store_used_bytes", "Memory of the slots that hold something.", False),
    "store_parcel_bytes": (
        "ostinato_store_parcel_bytes",
        "Bytes of experts in those slots; the rest is waste.",
        False,
    ),
}

# Likewise, where experts lie in slots of a device and in pinned memory beside it.
SLOTS = {
    "gpu_hits": ("ostinato_gpu_expert_hits", "Experts that were on the device when a step wanted them.", True),
    "gpu_misses": ("ostinato_gpu_expert_misses", "Experts that were read across the bus.", True),
    "gpu_bus_bytes": ("ostinato_gpu_bus_bytes", "Bytes of those.", True),
    "gpu_moves": ("ostinato_gpu_expert_moves", "Experts that were moved into a slot.", True),
    "gpu_moved_bytes": ("ostinato_gpu_moved_bytes", "Bytes of those.", True),
    "gpu_pinned_bytes": ("ostinato_gpu_pinned_bytes", "The machine's memory that is pinned for experts.", False),
    "gpu_slot_bytes": ("ostinato_gpu_slot_bytes", "The device's memory that slots take.", False),
    "gpu_parcel_bytes": ("ostinato_gpu_parcel_bytes", "Bytes of experts in those slots; the rest is waste.", False),
}


class _EngineCollector(Collector):
    """What the engine says of itself, read when asked."""

    def __init__(self, info: Callable[[], Mapping[str, Any]]) -> None:
        self._info = info

    def collect(self) -> Iterator[Metric]:
        info = self._info()
        yield from _families(ENGINE, info)
        if info.get("store_budget_bytes"):
            yield from _families(STORE, info)
            yield from _rates(Statistics({name: info[f"store_{name}"] for name in _memory.COUNTERS}))
            yield _read_latency(info)
        if info.get("gpu_pinned_bytes"):
            yield from _families(SLOTS, info)
            yield _hit_ratio(info)


def _families(table: Mapping[str, tuple[str, str, bool]], info: Mapping[str, Any]) -> Iterator[Metric]:
    for key, (name, text, grows) in table.items():
        if key in info:
            family = CounterMetricFamily if grows else GaugeMetricFamily
            yield family(name, text, value=float(info[key]))


def _hit_ratio(info: Mapping[str, Any]) -> Metric:
    share = info["gpu_hits"] / max(1, info["gpu_hits"] + info["gpu_misses"])
    return GaugeMetricFamily("ostinato_gpu_expert_hit_ratio", "Of both, the part on the device.", value=share)


def _read_latency(info: Mapping[str, Any]) -> Metric:
    text = "Of a read, as fitted at start for coarse copies."
    return GaugeMetricFamily("ostinato_store_read_latency_seconds", text, value=1e-9 * info["store_read_latency_ns"])


def _rates(found: Statistics) -> Iterator[Metric]:
    """What is not counted but follows from the counts, since the engine's start."""
    stalled = "Time in which a step waited for weights."
    yield CounterMetricFamily("ostinato_store_stall_seconds", stalled, value=found.stall_seconds)
    yield GaugeMetricFamily("ostinato_store_hit_ratio", "Of what was wanted, the part in memory.", value=found.hit_rate)
    foreseen = "Of what was wanted, the part that was foreseen."
    yield GaugeMetricFamily("ostinato_store_prefetch_recall", foreseen, value=found.recall)
    right = "Of what was foreseen, the part that was wanted."
    yield GaugeMetricFamily("ostinato_store_prefetch_precision", right, value=found.precision)
