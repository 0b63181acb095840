"""What bench says of experts beside a device's slots."""

from __future__ import annotations

import numpy as np
import pytest

from ostinato.backends.contract import Executable
from ostinato.backends.slotted import hot_set
from ostinato.cli.bus import BusFigures, planned, print_bus
from ostinato.engine.records_table import COUNTERS
from ostinato.memory.cost import Line
from ostinato.memory.device import plan_device
from ostinato.memory.hot import LOOK_STEPS, BusCosts, HotSet
from tests.memory.streamed import opened_with

MIB = 1 << 20


def half_there() -> HotSet:
    made = plan_device([MIB] * 4, other_bytes=MIB, device_memory=3 * MIB, pinned_memory=4 * MIB)
    return HotSet(made, BusCosts(Line(10e-6, 25e9)), [0, 1])


def test_names_are_those_of_the_engine() -> None:
    assert list(half_there().figures()) == [name for name in COUNTERS if name.startswith("gpu_")]


def test_figures_are_by_the_token(capsys: pytest.CaptureFixture[str]) -> None:
    hot = half_there()
    meter = BusFigures(hot)
    hot.update(np.array([3, 2, 1, 40], np.uint32), LOOK_STEPS)  # three are as much as four steps may read: 3, 2, 1, 4
    meter.mark()
    found = meter.figures("decode", 0, 10)
    assert found["decode_device_hit_rate"] == pytest.approx(0.5)
    assert found["decode_bus_bytes_per_token"] == 5 * MIB / 10
    assert found["decode_moved_bytes_per_token"] == hot.moves * MIB / 10
    plan = planned(hot)
    assert plan is not None
    print_bus(
        plan,
        [{"batch": 1} | {key.replace("decode", what): found[key] for what in ("prefill", "decode") for key in found}],
    )
    said = capsys.readouterr().out
    assert "2 of 4 experts in slots" in said
    assert "25.0 GB/s after 10 us" in said


def test_nothing_is_said_where_all_is_in_one_place() -> None:
    meter = BusFigures(None)
    meter.mark()
    assert meter.figures("decode", 0, 7) == {}
    assert planned(None) is None


@pytest.mark.parametrize("keeper", ["absent", None, "with another policy"])
def test_who_has_no_slots_has_no_hot_set(keeper: str | None) -> None:
    with opened_with(0) as opened:
        executable: Executable = opened.compile()
        if keeper != "absent":
            executable.keeper = type("Keeper", (), {"policy": object()})() if keeper else None  # type: ignore[attr-defined]
        assert hot_set(executable) is None
        executable.close()
