"""How long runs are, by a clock of our own."""

from __future__ import annotations

import pytest

from ostinato.engine import pace as pace_module
from ostinato.engine.pace import RUN_SECONDS, SHORTEST_RUN, Pace


class Clock:
    """Every collected step took as long as we say."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(pace_module, "perf_counter", lambda: self.now)

    def step(self, pace: Pace, seconds: float, steps: int = 1, more: bool = False) -> None:
        submitted = self.now
        self.now += seconds
        pace.collected(submitted, steps, more)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_nothing_is_known_at_first() -> None:
    assert Pace(64).steps == 1


@pytest.mark.parametrize(("milliseconds", "steps"), [(0.1, 64), (1.001, 49), (9.9, 5), (13.0, 1), (100.0, 1)])
def test_a_run_takes_a_twentieth_of_a_second(clock: Clock, milliseconds: float, steps: int) -> None:
    pace = Pace(64)
    clock.step(pace, milliseconds / 1e3)
    assert pace.steps == steps
    clock.step(pace, milliseconds / 1e3 * 8, steps=8)
    assert pace.steps == steps


def test_steps_with_prompts_say_nothing(clock: Clock) -> None:
    pace = Pace(64)
    clock.step(pace, 1e-4, steps=0)
    assert pace.steps == 1


def test_a_step_that_waited_for_another_began_when_that_ended(clock: Clock) -> None:
    pace, submitted = Pace(64), clock.now
    clock.step(pace, 3.0, steps=0)
    clock.now += RUN_SECONDS / 10.5
    pace.collected(submitted, 1, False)
    assert pace.steps == 10


def test_a_hiccup_is_forgotten(clock: Clock) -> None:
    pace = Pace(64)
    clock.step(pace, 1.0)
    for _ in range(20):
        clock.step(pace, 1e-3)
    assert pace.steps > SHORTEST_RUN


def test_a_backend_that_hands_out_tokens_as_it_makes_them_runs_as_long_as_it_can(clock: Clock) -> None:
    pace = Pace(64)
    clock.step(pace, 0.009)
    assert pace.steps == 5
    clock.step(pace, 0.5, more=True)
    assert pace.steps == 64


@pytest.mark.parametrize(("most", "fixed", "steps"), [(64, 8, 8), (64, 100, 64), (1, 8, 1), (64, 1, 1), (64, 2, 2)])
def test_what_was_asked_for_within_what_the_backend_can(most: int, fixed: int, steps: int) -> None:
    assert Pace(most, fixed).steps == steps
