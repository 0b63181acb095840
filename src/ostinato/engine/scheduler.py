"""Scheduler: decides which rows of which sequences make the next step.

Every running sequence that is past its prompt gives one row; prompts (and what must be computed again) fill up
the step in chunks; what still fits lets waiting sequences in. Whoever came first goes first. When blocks run
out, the sequence that came last gives up its own and waits; its tokens are computed again later.

Where only such rows are left and nobody waits, a step may become a run of several that the backend does by itself.
Its blocks are given ahead, as far as there are free ones; those that it did not use go back when it has ended.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter

from ostinato.backends.batch import Batch, Enter, Span, TableEdit
from ostinato.backends.batch_table import MAX_STOPS
from ostinato.backends.contract import Plan
from ostinato.engine.active import NO_SLOT, Active
from ostinato.engine.paging import Paging
from ostinato.engine.records_table import FinishReason
from ostinato.engine.sequences import SequenceTable

_ARRIVAL = attrgetter("arrival")


@dataclass(frozen=True, slots=True)
class Work:
    """One sequence's part of a step. Its result counts as long as the sequence is in the same `stay`."""

    sequence: Active
    span: Span
    stay: int


@dataclass(frozen=True, slots=True)
class Step:
    """What to submit: the work of a step, prompt spans first, or of a run of `steps`."""

    work: list[Work]
    steps: int = 1


@dataclass(slots=True)
class _Room:
    """What a step that is being planned has left."""

    rows: int
    logit_rows: int


class Scheduler:
    """Who waits, who runs, in which slot; both lists in the order of arrival."""

    def __init__(self, plan: Plan, paging: Paging, table: SequenceTable) -> None:
        self._plan, self._paging, self._table = plan, paging, table
        self._slots = list(reversed(range(plan.max_sequences)))  # free ones
        self._parked: list[int] = []  # free as soon as the run in flight has ended
        self.waiting: list[Active] = []
        self.running: list[Active] = []
        self.preemptions = 0
        self.prefix_hits = 0

    def add(self, sequence: Active) -> None:
        """A sequence arrives, or comes back from an earlier engine with its blocks: then it runs at once."""
        if sequence.block_count:
            self._paging.adopt(sequence)
            self._run(sequence)
        else:
            insort(self.waiting, sequence, key=_ARRIVAL)

    def plan_step(self, in_flight: int, most_steps: int = 1) -> Step:
        """The next step or, with nothing else in flight, a run of at most `most_steps`. Without work when nothing can
        be done now.

        A sequence that must run alone does so with no other step in flight.
        """
        lone = min((s for s in (*self.running, *self.waiting) if s.alone), key=_ARRIVAL, default=None)
        if lone is not None:
            return Step([] if in_flight else self._plan_alone(lone))
        steps = self._run_length(most_steps)
        if steps > 1:
            return Step([] if in_flight else self._plan_run(steps), steps)
        return Step(sorted(self._plan_together(), key=lambda w: w.span.kind))

    @property
    def left_out(self) -> bool:
        """Whether a sequence has no part in the run that is in flight."""
        return bool(self.waiting) or not all(s.in_run for s in self.running)

    def run_ended(self, work: list[Work]) -> None:
        """All of a run is committed: its sequences can be planned again, slots that were left meanwhile given away."""
        for w in work:
            if w.sequence.stay == w.stay:
                w.sequence.run_ended()
                self._take_back(w.sequence)
        self._slots += self._parked
        self._parked.clear()

    def _take_back(self, sequence: Active) -> None:
        """The blocks that were given ahead and not used. Committed first, then they go back."""
        count = self._paging.blocks_for(sequence.length)
        if count < sequence.block_count:
            blocks = sequence.give_back(count)
            self._table.commit(sequence.record, sequence.state())
            self._paging.release(blocks)

    def retire(self, sequence: Active, finish: FinishReason) -> None:
        """Ends a sequence, or with NONE sends it back to wait. Committed first, then its blocks go back."""
        if sequence.slot != NO_SLOT:
            (self._parked if sequence.in_run else self._slots).append(sequence.slot)
            self.running.remove(sequence)
        else:
            self.waiting.remove(sequence)
        blocks = sequence.leave()
        self._table.commit(sequence.record, sequence.state(finish))
        self._paging.release(blocks)
        if finish is FinishReason.NONE:
            insort(self.waiting, sequence, key=_ARRIVAL)

    def preempt_last(self, spare: set[Active] | frozenset[Active] = frozenset()) -> bool:
        """The last to arrive, outside `spare`, gives up its slot and blocks. False when there is none."""
        victim = next((s for s in reversed(self.running) if s not in spare), None)
        if victim is None:
            return False
        self.retire(victim, FinishReason.NONE)
        self.preemptions += 1
        return True

    @contextmanager
    def lend(self, blocks: int) -> Iterator[tuple[int, list[list[int]]]]:
        """A slot and so many blocks of every cache group, for rows that belong to no sequence. No step may be in
        flight. Running sequences make way."""
        while not self._slots or not self._paging.claim(blocks):
            if not self.preempt_last():
                raise ValueError(f"{blocks} blocks are wanted; there are {self._paging.available}")
        slot = self._slots.pop()
        lent = [[pool.take() for _ in range(blocks)] for pool in self._paging.pools]
        try:
            yield slot, lent
        finally:
            self._slots.append(slot)
            self._paging.release(lent)

    def check(self) -> None:
        """Raises AssertionError unless slots, lists and records agree."""
        slots = [s.slot for s in self.running] + self._slots + self._parked
        assert sorted(slots) == list(range(self._plan.max_sequences)), f"slots {sorted(slots)}"
        assert all(s.slot == NO_SLOT and not s.block_count for s in self.waiting), "a waiting sequence holds something"
        for sequences in (self.waiting, self.running):
            assert sequences == sorted(sequences, key=_ARRIVAL), "sequences are out of order"
        for sequence in (*self.waiting, *self.running):
            _check_sequence(sequence, self._table, self._plan.block_size)
        self._paging.check(self.running)

    def _plan_together(self) -> list[Work]:
        room = _Room(self._plan.max_rows, self._plan.max_logit_rows)
        work: list[Work] = []
        # Those with one known row to go, then those with several; sorting keeps the order of arrival.
        for sequence in sorted(self.running, key=lambda s: s.scheduled < s.length - 1):
            self._add_work(work, room, sequence)
        while room.rows and self.waiting and self._admit(first := self.waiting[0]):
            self._add_work(work, room, first)
        return work

    def _run_length(self, most: int) -> int:
        """Steps of a run that everybody could take part in now; 1 where there should be none."""
        running = self.running
        rows = min(self._plan.max_rows, self._plan.max_logit_rows)
        if most < 2 or self.waiting or not 0 < len(running) <= rows or not all(s.ready for s in running):
            return 1
        steps = min(most, max(s.to_draw for s in running))
        while steps > 1 and sum(self._paging.missing(s, s.run_end(steps)) for s in running) > self._paging.available:
            steps //= 2
        return steps

    def _plan_run(self, steps: int) -> list[Work]:
        for sequence in self.running:
            self._paging.grow(sequence, sequence.run_end(steps))
        return [Work(s, s.run_span(), s.stay) for s in self.running]

    def _plan_alone(self, sequence: Active) -> list[Work]:
        work: list[Work] = []
        while sequence.slot == NO_SLOT and not self._admit(sequence, alone=True):
            self._must_preempt(sequence)
        while not self._add_work(work, _Room(self._plan.max_rows, self._plan.max_logit_rows), sequence):
            self._must_preempt(sequence)
        return work

    def _must_preempt(self, sequence: Active) -> None:
        if not self.preempt_last({sequence}):
            raise RuntimeError(f"record {sequence.record}: all blocks are free, and yet too few")

    def _add_work(self, work: list[Work], room: _Room, sequence: Active) -> bool:
        """Adds the sequence's next rows, if it has any, the step has room for them and blocks are there."""
        if sequence.slot == NO_SLOT or not room.rows:  # preempted by an earlier one, or too late
            return False
        span = sequence.next_span(room.rows)
        if span is None or span.logit_rows > room.logit_rows:
            return False
        if not self._grow(sequence, span.start + span.count, work):
            return False
        room.rows -= span.count
        room.logit_rows -= span.logit_rows
        work.append(Work(sequence, span, sequence.stay))
        return True

    def _grow(self, sequence: Active, positions: int, work: list[Work]) -> bool:
        """Blocks for so many positions, at the cost of later sequences that are not in the step. Blocks of a
        sequence that leaves may come only when a step is collected: then this one misses a step."""
        while not self._paging.grow(sequence, positions):
            earlier = {s for s in self.running if s.arrival <= sequence.arrival}
            if self._paging.leaving or not self.preempt_last(earlier.union(w.sequence for w in work)):
                return False
        return True

    def _admit(self, sequence: Active, alone: bool = False) -> bool:
        """Slot and blocks for a waiting sequence, if there are; with a block left for each of the others to grow,
        unless it will run alone."""
        others = [] if alone else self.running
        if not self._slots or not self._paging.admit(sequence, len(others), others):
            return False
        self.prefix_hits += sequence.computed
        self.waiting.remove(sequence)
        self._run(sequence)
        return True

    def _run(self, sequence: Active) -> None:
        sequence.slot = self._slots.pop()
        insort(self.running, sequence, key=_ARRIVAL)


def make_batch(step: Step) -> Batch:
    """What the backend must be told for a step: newcomers, new blocks, rows."""
    sequences = [w.sequence for w in step.work]
    return Batch(
        spans=[w.span for w in step.work],
        enters=[_enter(s) for s in sequences if not s.entered],
        tables=[
            TableEdit(cache, s.slot, s.listed, blocks[s.listed :])
            for s in sequences
            if s.listed < s.block_count
            for cache, blocks in enumerate(s.blocks)
        ],
        steps=step.steps,
    )


def _enter(sequence: Active) -> Enter:
    """Stop ids beyond those that a backend can look for end the sequence all the same, when they are committed."""
    s, request = sequence, sequence.request
    history = s.tokens[: s.scheduled].tolist()
    return Enter(s.slot, s.prompt_length, request.sampling, history, s.limit, request.stop_ids[:MAX_STOPS])


def _check_sequence(sequence: Active, table: SequenceTable, block_size: int) -> None:
    s, state = sequence, table.committed(sequence.record)
    where = f"record {s.record}"
    assert table.generation(s.record) == s.generation, f"{where} serves another request"
    assert state.finish is FinishReason.NONE, f"{where} has ended"
    assert s.computed <= s.scheduled <= s.length + s.pending <= s.limit, f"{where}: {s}"
    assert s.scheduled <= s.block_count * block_size or not s.scheduled, f"{where}: rows without blocks"
    assert state.computed <= s.scheduled, f"{where}: committed rows that were never submitted"
    assert all(count <= s.block_count for count in state.blocks), f"{where}: committed blocks that it does not hold"
    for entries, blocks in zip(s.tables, s.blocks, strict=True):
        assert entries[: len(blocks)].tolist() == blocks, f"{where}: block tables differ"
