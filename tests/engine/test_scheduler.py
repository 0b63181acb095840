"""What goes into a step."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ostinato.backends.batch_table import Kind
from ostinato.backends.contract import Plan
from ostinato.engine.active import activate
from ostinato.engine.local import LocalPort
from ostinato.engine.paging import Paging
from ostinato.engine.records_table import FinishReason
from ostinato.engine.request import Request
from ostinato.engine.scheduler import Scheduler, Step, Work, make_batch

PLAN = Plan(max_rows=16, max_logit_rows=4, max_sequences=3, context=64, blocks=16, block_size=4)


class Desk:
    """A scheduler whose steps always work out; every draw is token 1."""

    def __init__(self, plan: Plan = PLAN) -> None:
        self.plan = plan
        self.port = LocalPort(plan, 2, 16)
        self.paging = Paging(plan.blocks, plan.block_size, 2)
        self.scheduler = Scheduler(plan, self.paging, self.port.table)
        self.arrivals = 0

    def ask(self, prompt: int, max_tokens: int = 10, first: int = 0) -> None:
        stream = self.port.submit(Request(list(range(first, first + prompt)), max_tokens))
        assert stream is not None
        self.scheduler.add(activate(self.port.table, stream.record, self.arrivals, self.plan.context))
        self.arrivals += 1

    def plan_step(self) -> list[tuple[int, Kind, int, int]]:
        """(arrival, kind, start, rows) of a step, which is then done; sequences that ended are gone."""
        work = self.scheduler.plan_step(0).work
        for w in work:
            w.sequence.submitted(w.span)
            w.sequence.computed = w.sequence.scheduled
            if w.span.sample and (finish := w.sequence.draw(1)):
                self.scheduler.retire(w.sequence, finish)
        self.scheduler.check()
        return [(w.sequence.arrival, w.span.kind, w.span.start, w.span.count) for w in work]


def test_a_prompt_comes_in_chunks_then_rows() -> None:
    desk = Desk()
    desk.ask(35)
    steps = [desk.plan_step() for _ in range(5)]
    assert steps == [
        [(0, Kind.PROMPT, 0, 16)],
        [(0, Kind.PROMPT, 16, 16)],
        [(0, Kind.PROMPT, 32, 3)],
        [(0, Kind.GENERATED, 35, 1)],
        [(0, Kind.GENERATED, 36, 1)],
    ]


def test_rows_first_then_chunks_by_arrival_and_prompt_spans_listed_first() -> None:
    desk = Desk()
    desk.ask(3)
    desk.plan_step()
    desk.ask(12, first=10)
    desk.ask(12, first=30)
    assert desk.plan_step() == [
        (1, Kind.PROMPT, 0, 12), (2, Kind.PROMPT, 0, 3), (0, Kind.GENERATED, 3, 1)
    ]  # fmt: skip


def test_slots_and_logit_rows_are_limits() -> None:
    desk = Desk(replace(PLAN, max_logit_rows=2))
    for i in range(4):
        desk.ask(2, first=10 * i)
    assert [w[0] for w in desk.plan_step()] == [0, 1]
    assert [w[0] for w in desk.plan_step()] == [0, 1]
    assert [s.arrival for s in desk.scheduler.waiting] == [3]


def test_nobody_is_let_in_where_running_ones_could_not_grow() -> None:
    desk = Desk(replace(PLAN, blocks=8))
    desk.ask(16)  # 4 blocks
    desk.plan_step()
    desk.ask(16, first=20)  # 4 blocks would be all that are left
    assert [w[0] for w in desk.plan_step()] == [0]
    desk.ask(4, first=40)
    assert [s.arrival for s in desk.scheduler.waiting] == [1, 2], "a later one went first"


def test_the_last_to_arrive_is_preempted_and_replayed_with_its_kinds() -> None:
    desk = Desk(replace(PLAN, blocks=6))
    desk.ask(7, max_tokens=12)
    desk.ask(7, max_tokens=12, first=20)
    steps = [desk.plan_step() for _ in range(15)]
    assert steps[5] == [(0, Kind.GENERATED, 11, 1), (1, Kind.GENERATED, 11, 1)]
    assert steps[6] == [(0, Kind.GENERATED, 12, 1)], "the fourth block was taken from the second sequence"
    assert desk.scheduler.preemptions == 1
    assert all(len(step) == 1 and step[0][0] == 0 for step in steps[6:12])
    assert steps[12:] == [
        [(1, Kind.PROMPT, 0, 7)],
        [(1, Kind.GENERATED, 7, 6)],  # six known tokens, and then
        [(1, Kind.GENERATED, 13, 1)],
    ]


def test_an_early_one_that_had_to_wait_comes_back_among_later_ones() -> None:
    desk = Desk()
    desk.ask(4)
    desk.ask(4, first=20)
    desk.plan_step()
    desk.scheduler.retire(desk.scheduler.running[0], FinishReason.NONE)
    assert [w[0] for w in desk.plan_step()] == [0, 1]
    assert [s.arrival for s in desk.scheduler.running] == [0, 1]


def test_nobody_else_is_preempted_while_blocks_are_on_their_way() -> None:
    desk = Desk(replace(PLAN, blocks=11, max_sequences=4, max_rows=64))
    for i in range(4):
        desk.ask(7, max_tokens=12, first=20 * i)
    for _ in range(6):
        desk.plan_step()
    desk.paging.submitted(1)  # a step is in flight until it is collected
    assert [desk.plan_step() for _ in range(2)] == [[], []], "all three need a fourth block"
    assert desk.scheduler.preemptions == 1
    desk.paging.collected(1)
    assert [w[0] for w in desk.plan_step()] == [0, 1]


def test_a_prefix_is_shared_and_told_as_history() -> None:
    desk = Desk()
    desk.ask(12)
    work = desk.scheduler.plan_step(0).work
    for w in work:
        w.sequence.submitted(w.span)
        desk.paging.remember(w.sequence)
    desk.ask(14)
    (late,) = [w for w in desk.scheduler.plan_step(0).work if w.sequence.arrival == 1]
    batch = make_batch(Step([late]))
    assert list(batch.enters[0].history) == list(range(12))
    assert (late.span.start, late.span.count) == (12, 2)
    assert [list(table.blocks)[:3] for table in batch.tables] == [held[:3] for held in work[0].sequence.blocks]
    assert desk.scheduler.prefix_hits == 12
    desk.scheduler.check()


def test_check_sees_what_is_wrong() -> None:
    desk = Desk()
    desk.ask(6)
    desk.plan_step()
    sequence = desk.scheduler.running[0]
    sequence.tables[0][0] += 1
    with pytest.raises(AssertionError, match="block tables differ"):
        desk.scheduler.check()
    sequence.tables[0][0] -= 1
    sequence.blocks[0].pop()
    with pytest.raises(AssertionError):
        desk.scheduler.check()


def test_lent_blocks_come_back() -> None:
    desk = Desk()
    desk.ask(20)
    desk.plan_step()
    with desk.scheduler.lend(14) as (slot, blocks):
        assert 0 <= slot < PLAN.max_sequences
        assert [len(held) for held in blocks] == [14, 14]
        assert desk.scheduler.preemptions == 1
    desk.scheduler.check()
    assert desk.paging.available == PLAN.blocks
    with pytest.raises(ValueError, match="17 blocks"), desk.scheduler.lend(17):
        pass


def test_work_belongs_to_a_stay() -> None:
    desk = Desk()
    desk.ask(4)
    work: list[Work] = desk.scheduler.plan_step(0).work
    desk.scheduler.preempt_last()
    assert work[0].sequence.stay != work[0].stay
