"""Runs on the CUDA backend without a card: the contract's own tests, persistently and as repeated graphs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ostinato.backends.batch import Batch
from ostinato.backends.contract import StateAction
from ostinato.engine.loading import Opened, Options, open_model
from tests.backends.cuda.host_driver import CARD, HostCuda
from tests.backends.test_runs import (
    CONTEXT,
    PROMPTS,
    RUN,
    Drawn,
    Fresh,
    Model,
    assert_equal,
    fresh,
    test_a_prompt_behind_a_run,
    test_a_slot_without_numbers_fails_alone,
    test_a_stop_token_is_drawn_and_the_last_and_the_next_run_goes_on,
    test_an_empty_batch_ends_a_run,
    test_limits,
    test_limits_mean_nothing_to_single_steps,
    test_logits_are_those_of_the_first_step,
    test_results_are_in_the_order_of_spans_and_well_shaped,
    test_runs_equal_single_steps,
    test_runs_of_some_slots_only,
    test_the_context_ends_a_run,
    test_what_is_no_run_is_refused,
    test_where_blocks_end_a_run_stops_and_with_more_the_next_goes_on,
    wanted,
)
from tools.tiny_models import write_tiny_model

__all__ = [
    "fresh",
    "test_a_prompt_behind_a_run",
    "test_a_slot_without_numbers_fails_alone",
    "test_a_stop_token_is_drawn_and_the_last_and_the_next_run_goes_on",
    "test_an_empty_batch_ends_a_run",
    "test_limits",
    "test_limits_mean_nothing_to_single_steps",
    "test_logits_are_those_of_the_first_step",
    "test_results_are_in_the_order_of_spans_and_well_shaped",
    "test_runs_equal_single_steps",
    "test_runs_of_some_slots_only",
    "test_the_context_ends_a_run",
    "test_what_is_no_run_is_refused",
    "test_where_blocks_end_a_run_stops_and_with_more_the_next_goes_on",
    "wanted",
]


@pytest.fixture(scope="module", params=["persistent", "graphs"])
def way(request: pytest.FixtureRequest) -> str:
    """How runs are done: a card without cooperative launches repeats graphs."""
    return str(request.param)


@pytest.fixture(scope="module")
def name(host_cuda: HostCuda) -> str:
    return host_cuda.name


@pytest.fixture(scope="module")
def opened(name: str, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    path: Path = tmp_path_factory.mktemp("runs") / "tiny.gguf"
    write_tiny_model(path, type="Q8_0")
    return open_model(path, Options(backend=name, context=CONTEXT, max_sequences=4, max_rows=32))


@pytest.fixture(scope="module")
def model(opened: Opened, way: str, host_cuda: HostCuda) -> Iterator[Model]:
    """The contract's tests run on it; then it is seen that it went the way it should have."""
    host_cuda.settings["card"] = replace(CARD, cooperative=way == "persistent")
    executable = opened.compile()
    yield executable, opened.plan
    executable.close()
    counts = host_cuda.drivers[-1].counts
    assert (counts["decode"] > 0) == (way == "persistent")
    assert counts["graph"] > 0


def test_the_persistent_kernel_leaves_where_blocks_end(fresh: Fresh, way: str) -> None:
    """At once, so that the host may give blocks; repeated graphs go on with the other slots."""
    slots = fresh(blocks=1)
    slots.run(RUN, tables=[slots.edit(1, 1, 1)])
    first = min(slots.plan.block_size - len(prompt) for prompt in (PROMPTS[0], PROMPTS[2]))
    assert len(slots.drawn[1]) == (first if way == "persistent" else RUN)


def test_a_run_comes_in_parts(fresh: Fresh, wanted: dict[int, Drawn]) -> None:
    slots = fresh()
    parts = slots.run(30)
    assert len(parts) > 1
    assert [part.more for part in parts] == [True] * (len(parts) - 1) + [False]
    assert_equal(slots, wanted, [30] * 3)


def test_blocks_are_moved_behind_a_run(fresh: Fresh, wanted: dict[int, Drawn]) -> None:
    """Spilled and restored elsewhere, copied back: the sequence goes on as if nothing had been."""
    slots = fresh()
    executable = slots.executable
    executable.submit(Batch(slots.spans([1]), steps=RUN))
    mine = slots.edit(0, 0, 4).blocks
    data = executable.state(StateAction.SPILL, 0, mine)
    assert len(data) > 0
    slots.collect()
    other = slots.edit(3, 0, 4).blocks
    executable.state(StateAction.RESTORE, 0, other, data=data)
    assert executable.state(StateAction.SPILL, 0, other) == data
    executable.state(StateAction.RESTORE, 0, mine, data=bytes(len(data)))
    executable.state(StateAction.COPY, 0, other, to=mine)
    slots.run(3, [0, 1])
    assert_equal(slots, wanted, [3, len(slots.drawn[1]), 0])
    with pytest.raises(ValueError, match="bytes for 1 blocks"):
        executable.state(StateAction.RESTORE, 0, [0], data=b"")
