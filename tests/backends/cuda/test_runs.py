"""Runs on the CUDA backend without a card: the contract's own tests, persistently and as repeated graphs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ostinato.backends.contract import Executable, Plan
from ostinato.engine.loading import Options, open_model
from tests.backends.cuda.host_driver import CARD, HostCuda
from tests.backends.test_runs import (
    CONTEXT,
    Compile,
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
    return str(request.param)


@pytest.fixture(scope="module")
def name(host_cuda: HostCuda) -> str:
    return host_cuda.name


@pytest.fixture(scope="module")
def compile_model(
    name: str, way: str, host_cuda: HostCuda, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], tuple[Executable, Plan]]:
    """As the contract's, and the driver counts how the runs were done."""
    host_cuda.settings["card"] = replace(CARD, cooperative=way == "persistent")
    path: Path = tmp_path_factory.mktemp("runs") / "tiny.gguf"
    write_tiny_model(path, type="Q8_0")
    opened = open_model(path, Options(backend=name, context=CONTEXT, max_sequences=4, max_rows=32))
    return lambda: (opened.compile(), opened.plan)


def test_each_way_is_taken(way: str, compile_model: Compile, host_cuda: HostCuda) -> None:
    executable, _ = compile_model()
    executable.close()
    decoded = sum(driver.counts["decode"] for driver in host_cuda.drivers if driver.card.cooperative)
    repeated = sum(driver.counts["graph"] for driver in host_cuda.drivers if not driver.card.cooperative)
    assert (decoded if way == "persistent" else repeated) > 0
