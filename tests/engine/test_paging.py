"""Blocks of several cache groups at once."""

from __future__ import annotations

import pytest

from ostinato.backends.contract import Plan
from ostinato.engine.active import Active, activate
from ostinato.engine.local import LocalPort
from ostinato.engine.paging import Paging
from ostinato.engine.request import Request

PLAN = Plan(context=32, block_size=4)


@pytest.fixture
def port() -> LocalPort:
    return LocalPort(PLAN, caches=2, capacity=8)


def sequence(port: LocalPort, prompt: list[int]) -> Active:
    stream = port.submit(Request(prompt, 8))
    assert stream is not None
    return activate(port.table, stream.record, 0, PLAN.context)


def test_admission_takes_blocks_for_all_tokens_and_leaves_the_spare(port: LocalPort) -> None:
    paging = Paging(5, 4, 2)
    one = sequence(port, list(range(10)))
    assert not paging.admit(one, spare=3)
    assert paging.available == 5
    assert paging.admit(one, spare=2)
    assert one.block_count == 3
    assert [port.table.blocks(one.record, c)[:3].tolist() for c in range(2)] == one.blocks
    paging.check([one])


def test_growth_takes_all_or_nothing(port: LocalPort) -> None:
    paging = Paging(3, 4, 2)
    one = sequence(port, [1])
    paging.admit(one, 0)
    assert not paging.grow(one, 13)
    assert one.block_count == 1
    assert paging.grow(one, 12)
    assert paging.available == 0
    assert paging.grow(one, 12), "nothing is missing"


def test_blocks_come_back_when_every_submitted_step_is_collected(port: LocalPort) -> None:
    paging = Paging(4, 4, 2)
    one = sequence(port, list(range(8)))
    paging.admit(one, 0)
    paging.submitted(7)
    paging.submitted(8)
    paging.release(one.leave())
    assert paging.leaving
    for step, available in ((7, 2), (8, 4)):
        paging.collected(step)
        assert paging.available == available
        paging.check([])
    assert not paging.leaving


def test_idle_blocks_that_are_hit_do_not_count_as_available(port: LocalPort) -> None:
    paging = Paging(4, 4, 2)
    first = sequence(port, list(range(12)))
    paging.admit(first, 0)
    first.scheduled = 12
    paging.remember(first)
    paging.release(first.leave())
    second = sequence(port, [*range(12), 50, 51])
    assert not paging.admit(second, spare=1)
    assert paging.admit(second, spare=0)
    assert second.scheduled == 12
    paging.check([second])


def test_the_end_of_a_prefix_is_forgotten_first(port: LocalPort) -> None:
    paging = Paging(3, 4, 2)
    first = sequence(port, list(range(12)))
    paging.admit(first, 0)
    first.scheduled = 12
    paging.remember(first)
    paging.release(first.leave())
    other = sequence(port, [90])
    paging.admit(other, 0)
    again = sequence(port, list(range(12)))
    assert not paging.admit(again, 0)
    paging.release(other.leave())
    assert paging.admit(again, 0)
    assert again.scheduled == 8


def test_a_coming_block_is_worth_waiting_for(port: LocalPort) -> None:
    paging = Paging(20, 4, 2)
    first = sequence(port, list(range(12)))
    second = sequence(port, [*range(8), 60, 61])
    stranger = sequence(port, list(range(70, 82)))
    paging.admit(first, 0)
    assert not paging.admit(second, 0, [first])
    assert paging.admit(stranger, 0, [first])
    first.scheduled = 8
    paging.remember(first)
    assert paging.admit(second, 0, [first])
    assert second.scheduled == 8
    paging.check([first, second, stranger])
