"""What a store counts, on its way to metrics and tables."""

from __future__ import annotations

import pytest

from ostinato import _memory
from ostinato.backends.sampling import Sampling
from ostinato.cli.bench import StoreFigures
from ostinato.engine.engine import Engine
from ostinato.engine.local import LocalPort, local_engine
from ostinato.engine.records_table import COUNTERS
from ostinato.engine.request import Request
from ostinato.memory.statistics import Statistics, figures, statistics
from tests.memory.streamed import opened_with

PROMPT = tuple(range(3, 40))


def answered(engine: Engine, port: LocalPort, tokens: int = 12) -> list[int]:
    stream = port.submit(Request(PROMPT, tokens, Sampling(temperature=0.0)))
    assert stream is not None
    while engine.step():
        pass
    return [event.token for event in stream.events]


def test_the_engine_counts_what_its_store_does() -> None:
    with opened_with(0.5) as opened:
        executable = opened.compile()
        engine, port = local_engine(opened, executable, 4)
        answered(engine, port)
        found = engine.counters()
        assert set(found) == {name for name in COUNTERS if not name.startswith("gpu_")}
        assert found["store_misses"] > 0
        assert found["store_hits"] > 0
        assert found["store_demand_bytes"] > 0
        assert found["store_parcel_bytes"] <= found["store_used_bytes"] <= found["store_slot_bytes"]
        assert found["store_slot_bytes"] <= found["store_budget_bytes"]
        assert executable.store is not None
        uses = executable.store.native.uses()
        assert uses.sum() == found["store_hits"] + found["store_misses"]
        executable.close()


def test_names_are_those_of_the_native_store() -> None:
    with opened_with(0.5) as opened:
        executable = opened.compile()
        assert executable.store is not None
        assert tuple(figures(executable.store.native)) == tuple(n for n in COUNTERS if n.startswith("store_"))
        executable.close()


def test_without_a_store_nothing_is_said_of_one() -> None:
    with opened_with(0) as opened:
        executable = opened.compile()
        engine, _ = local_engine(opened, executable, 4)
        assert not any(name.startswith("store_") for name in engine.counters())
        none = StoreFigures(executable.store)
        none.mark()
        assert none.figures("decode", 0, 7) == {}
        executable.close()


def test_bench_divides_by_tokens() -> None:
    with opened_with(0.25) as opened:
        executable = opened.compile()
        engine, port = local_engine(opened, executable, 4)
        meter = StoreFigures(executable.store)
        answered(engine, port)
        meter.mark()
        meter.mark()
        found, nothing = meter.figures("decode", 0, 10), meter.figures("decode", 1, 10)
        assert executable.store is not None
        total = statistics(executable.store.native)
        assert found["decode_read_bytes_per_token"] == total.bytes_read / 10 > 0
        assert 0 < found["decode_hit_rate"] == total.hit_rate < 1
        assert found["decode_stall_seconds_per_token"] == pytest.approx(total.stall_seconds / 10)
        assert set(nothing.values()) == {0.0}
        executable.close()


def test_since() -> None:
    one = Statistics(dict.fromkeys(_memory.COUNTERS, 3))
    two = Statistics({name: 5 * index for index, name in enumerate(_memory.COUNTERS)})
    assert two.since(one).counts["hits"] == -3
    assert two.since(one).bytes_read == two.bytes_read - 6
