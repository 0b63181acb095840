"""The persistent decode kernel on the host implementation: scenarios, and real models against separate launches."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.backends.cuda import scenarios


@pytest.mark.parametrize("scenario", scenarios.SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_scenario(scenario: Callable[[str], None]) -> None:
    scenario("")


@pytest.mark.parametrize(("blocks", "warps"), [(1, 1), (7, 2), (5, 8)])
def test_other_grids(blocks: int, warps: int) -> None:
    scenarios.a_run_equals_its_steps("", blocks, warps)
