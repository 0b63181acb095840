"""Engine: requests -> batches -> tokens. One call of `step` is the life of the whole thing.

Two steps are in flight at most: while the backend computes step n, step n+1 is planned from what is known, and a
sequence's next row takes its token on the device. What a step drew is provisional until it is committed: a
sequence that ended, was cancelled or lost its blocks meanwhile drops it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ostinato.backends.batch_table import MAX_IN_FLIGHT
from ostinato.backends.contract import BatchError, Executable, Plan, StepResult
from ostinato.engine.active import Active, activate
from ostinato.engine.paging import Paging
from ostinato.engine.records_table import Command, FinishReason
from ostinato.engine.request import TokenEvent
from ostinato.engine.scheduler import Scheduler, Work, make_batch
from ostinato.engine.sequences import SequenceTable
from ostinato.program.ir import CacheGroup

# A step that died lies within the next two of each of its sequences: so many could have been in flight.
SUSPECT_STEPS = MAX_IN_FLIGHT


class Port(Protocol):
    """Where commands come from and tokens go to. `TokenEvent.request` is the sequence's record."""

    def commands(self) -> Sequence[tuple[Command, int, int]]:
        """New (command, record, generation); does not wait."""

    def publish(self, events: Sequence[TokenEvent]) -> None:
        """Hands on tokens that are committed."""


@dataclass(frozen=True, slots=True)
class Flight:
    """A submitted step."""

    number: int
    work: list[Work]


class Engine:
    """Serves the sequences of `table` with `executable`, which was compiled for `plan`."""

    def __init__(
        self, executable: Executable, plan: Plan, caches: Sequence[CacheGroup], table: SequenceTable, port: Port
    ) -> None:
        self.executable, self.plan, self._table, self._port = executable, plan, table, port
        self.paging = Paging(plan.blocks, plan.block_size, len(caches))
        self.scheduler = Scheduler(plan, self.paging, table)
        self.capacity = min(plan.context, plan.blocks * plan.block_size)  # positions of one sequence
        self._sequences: dict[int, Active] = {}  # by record
        self._flights: deque[Flight] = deque()
        self._number = table.last_step()
        self._arrivals = 0
        self._checked = False
        self.steps = self.rows = self.prompt_tokens = self.generated_tokens = 0

    def step(self) -> bool:
        """Receive, schedule, submit step n+1, collect and commit step n. False when nothing is left to do."""
        self._receive()
        work = self.scheduler.plan_step(len(self._flights))
        if work:
            self._submit(work)
        if len(self._flights) == MAX_IN_FLIGHT or (self._flights and not work):
            self._collect()
        if not self._sequences and not self._flights:
            return self._idle()
        self._checked = False
        return True

    def recover(self) -> None:
        """Takes over the sequences that an earlier engine left, as they were committed (`table.roll_back` has
        ended its steps). Blocks, reference counts and prefix names follow from the records."""
        for record in self._table.live():
            self._accept(record)

    def drain(self) -> None:
        """Collects and commits every step in flight."""
        while self._flights:
            self._collect()

    def check_integrity(self) -> None:
        """Raises AssertionError unless blocks, slots, sequences and records agree. Steps may be in flight."""
        self.scheduler.check()
        known = {id(s) for s in (*self.scheduler.waiting, *self.scheduler.running)}
        assert known == {id(s) for s in self._sequences.values()}, "a sequence neither waits nor runs"
        assert all(record == s.record for record, s in self._sequences.items()), "records are mixed up"

    def counters(self) -> dict[str, int]:
        """Figures for metrics: totals since the start, then how things stand. Hits are tokens."""
        return {
            "steps": self.steps,
            "rows": self.rows,
            "prompt_tokens": self.prompt_tokens,
            "generated_tokens": self.generated_tokens,
            "prefix_hits": self.scheduler.prefix_hits,
            "preemptions": self.scheduler.preemptions,
            "running": len(self.scheduler.running),
            "waiting": len(self.scheduler.waiting),
            "free_blocks": self.paging.available,
        }

    def _receive(self) -> None:
        for command, record, generation in self._port.commands():
            known = self._sequences.get(record)
            if known is not None and known.generation == generation:
                if command is Command.CANCEL:
                    self._end(known, FinishReason.CANCELLED)
            elif command is Command.SUBMIT and self._is_new(record, generation):
                self._accept(record)

    def _is_new(self, record: int, generation: int) -> bool:
        """Whether the record still holds that request, unanswered: a command may come again after a restart."""
        same = self._table.generation(record) == generation
        return same and self._table.committed(record).finish is FinishReason.NONE

    def _accept(self, record: int) -> None:
        sequence = activate(self._table, record, self._arrivals, self.capacity)
        sequence.alone = SUSPECT_STEPS * self._table.suspect(record)
        self._arrivals += 1
        self._sequences[record] = sequence
        self.scheduler.add(sequence)
        if sequence.prompt_length >= self.capacity:
            self._end(sequence, FinishReason.ERROR)
        elif finish := sequence.ended():
            self._end(sequence, finish)

    def _end(self, sequence: Active, finish: FinishReason) -> None:
        """Ends a sequence without a new token."""
        self._retire(sequence, finish)
        self._port.publish([TokenEvent(sequence.record, sequence.generated, -1, finish)])

    def _retire(self, sequence: Active, finish: FinishReason) -> None:
        self.scheduler.retire(sequence, finish)
        del self._sequences[sequence.record]

    def _submit(self, work: list[Work]) -> None:
        batch = make_batch(work)
        self._number += 1
        self._table.mark_step([w.sequence.record for w in work], self._number)
        try:
            self.executable.submit(batch)
        except BatchError:
            self._refused(work)
            return
        for w in work:
            w.sequence.submitted(w.span)
            self.paging.remember(w.sequence)
        self.paging.submitted(self._number)
        self._flights.append(Flight(self._number, work))
        self.steps += 1
        self.rows += batch.rows
        self.prompt_tokens += batch.prompt_rows

    def _refused(self, work: list[Work]) -> None:
        """The backend took nothing of the step: its one sequence fails, or each must try alone."""
        if not self._flights:
            self._table.step_done(self._number)
        if len(work) == 1:
            self._end(work[0].sequence, FinishReason.ERROR)
            return
        for w in work:
            w.sequence.alone = max(w.sequence.alone, 1)

    def _collect(self) -> None:
        result = self.executable.collect()
        flight = self._flights.popleft()
        events = self._commit(flight, result)
        self._table.step_done(flight.number)
        self.paging.collected(flight.number)
        self.generated_tokens += len(events)
        self._port.publish(events)

    def _commit(self, flight: Flight, result: StepResult) -> list[TokenEvent]:
        """Makes the step's rows and draws known for good; returns what there is to publish."""
        draws = _draws(result)
        events = []
        for w in flight.work:
            draw = next(draws) if w.span.sample else None
            sequence = w.sequence
            if sequence.run != w.run:
                continue
            sequence.computed = w.span.start + w.span.count
            if draw and not draw.valid:
                self._end(sequence, FinishReason.NUMBERS)
                continue
            finish = sequence.draw(draw.token) if draw else FinishReason.NONE
            if draw:
                top = draw.top[: max(sequence.request.sampling.logprobs, 0)]
                events.append(
                    TokenEvent(sequence.record, sequence.generated - 1, draw.token, finish, draw.logprob, top)
                )
            if finish:
                self._retire(sequence, finish)
            else:
                self._table.commit(sequence.record, sequence.state())
                self._survived(sequence, alone=len(flight.work) == 1)
        return events

    def _survived(self, sequence: Active, alone: bool) -> None:
        if sequence.alone and alone:
            sequence.alone -= 1
            if not sequence.alone and self._table.suspect(sequence.record):
                self._table.set_suspect(sequence.record, False)

    def _idle(self) -> bool:
        if not self._checked:
            self.check_integrity()
            self._checked = True
        return False


@dataclass(frozen=True, slots=True)
class _Draw:
    valid: bool  # False: no logit was a number
    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]


def _draws(result: StepResult) -> Iterator[_Draw]:
    """What each sampled span drew, in order."""
    tokens, logprobs = result.tokens[:, 0].tolist(), result.logprobs[:, 0].tolist()
    for row, (token, logprob) in enumerate(zip(tokens, logprobs, strict=True)):
        top: tuple[tuple[int, float], ...] = ()
        if result.top_ids[row, 0, 0] >= 0:
            top = tuple(zip(result.top_ids[row, 0].tolist(), result.top_logprobs[row, 0].tolist(), strict=True))
        yield _Draw(bool(result.counts[row]), token, logprob, top)
