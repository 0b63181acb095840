"""Metrics for Prometheus, named after OpenTelemetry's conventions for generative AI where those have a name.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/ (dots become underscores, units a suffix).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

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


class _EngineCollector(Collector):
    """What the engine says of itself, read when asked."""

    def __init__(self, info: Callable[[], Mapping[str, Any]]) -> None:
        self._info = info

    def collect(self) -> Iterator[Metric]:
        info = self._info()
        for key, (name, text, grows) in ENGINE.items():
            if key in info:
                family = CounterMetricFamily if grows else GaugeMetricFamily
                yield family(name, text, value=float(info[key]))
