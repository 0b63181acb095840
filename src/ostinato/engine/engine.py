"""Engine: requests -> batches -> tokens. One call of `step` is the life of the whole thing.

Two steps are in flight at most: while the backend computes step n, step n+1 is planned from what is known, and a
sequence's next row takes its token on the device. What a step drew is provisional until it is committed: a
sequence that ended, was cancelled or lost its blocks meanwhile drops it.

A run of decode steps begins with nothing in flight and is followed by nothing, since nobody knows where it ends.
Whoever arrives or is cancelled while it is in flight ends it: by a step for the newcomers, or by an empty one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from ostinato.backends.batch_table import MAX_IN_FLIGHT, Kind
from ostinato.backends.contract import BatchError, Executable, Plan, StepResult
from ostinato.backends.slotted import hot_set
from ostinato.engine.active import Active, activate
from ostinato.engine.pace import Pace
from ostinato.engine.paging import Paging
from ostinato.engine.records_table import Command, FinishReason
from ostinato.engine.request import TokenEvent
from ostinato.engine.scheduler import Scheduler, Step, Work, make_batch
from ostinato.engine.sequences import SequenceTable
from ostinato.memory.statistics import figures
from ostinato.program.ir import CacheGroup

if TYPE_CHECKING:
    from ostinato.engine.balance import Balance


class Port(Protocol):
    """Where commands come from and tokens go to. `TokenEvent.request` is the sequence's record."""

    def commands(self) -> Sequence[tuple[Command, int, int]]:
        """New (command, record, generation); does not wait."""

    def publish(self, events: Sequence[TokenEvent]) -> None:
        """Hands on tokens that are committed."""


@dataclass(frozen=True, slots=True)
class Flight:
    """A submitted step or run."""

    number: int
    step: Step
    submitted: float  # perf_counter

    @property
    def is_run(self) -> bool:
        return self.step.steps > 1

    @property
    def only_generates(self) -> bool:
        """Whether each sequence has one generated row in it."""
        return all(w.span.kind is Kind.GENERATED and w.span.count == 1 for w in self.step.work)


class Engine:
    """Serves the sequences of `table` with `executable`, which was compiled for `plan`.

    `run_steps`: steps of a run; 1: single steps only; 0: as many as the pace of the steps allows (engine/pace.py).
    `recurrent`: sequences have state besides keys and values; who has lost it is computed again from its first token.
    """

    def __init__(
        self,
        executable: Executable,
        plan: Plan,
        caches: Sequence[CacheGroup],
        table: SequenceTable,
        port: Port,
        run_steps: int = 0,
        recurrent: bool = False,
    ) -> None:
        self.executable, self.plan, self._table, self._port = executable, plan, table, port
        self.paging = Paging(plan.blocks, plan.block_size, len(caches), recurrent)
        self.scheduler = Scheduler(plan, self.paging, table)
        self._balance = _balance(executable, self.paging, plan, caches)
        self.capacity = min(plan.context, plan.blocks * plan.block_size)  # positions of one sequence
        self._keeps_state = executable.keeps_state and not recurrent
        self._sequences: dict[int, Active] = {}  # by record
        self._flights: deque[Flight] = deque()
        self._pace = Pace(executable.max_steps, run_steps)
        self._number = table.last_step()
        self._arrivals = 0
        self._checked = False
        self.steps = self.runs = self.rows = self.prompt_tokens = self.generated_tokens = 0

    def step(self) -> bool:
        """Receive, schedule, submit step n+1, collect and commit step n. False when nothing is left to do."""
        news = self._receive()
        if self._balance is not None:
            self._balance.step()
        step = self._plan(news)
        if step is not None:
            self._submit(step)
        if len(self._flights) == MAX_IN_FLIGHT or (self._flights and step is None):
            self._collect()
        if not self._sequences and not self._flights:
            return self._idle()
        self._checked = False
        return True

    def recover(self) -> None:
        """Takes over the sequences that an earlier engine left, as they were committed (`table.roll_back` has
        ended its steps). Blocks, reference counts and prefix names follow from the records; where keys and values
        died with that engine, its sequences wait to be computed again."""
        for record in self._table.live():
            if not self._keeps_state:
                nothing = (0,) * self._table.caches
                self._table.commit(record, replace(self._table.committed(record), computed=0, blocks=nothing))
            self._accept(record)

    def drain(self) -> None:
        """Collects and commits every step in flight; a run is asked to end."""
        if self._in_run and len(self._flights) == 1:
            self._submit(Step([]))
        while self._flights:
            self._collect()

    def check_integrity(self) -> None:
        """Raises AssertionError unless blocks, slots, sequences and records agree. Steps may be in flight."""
        self.scheduler.check()
        known = {id(s) for s in (*self.scheduler.waiting, *self.scheduler.running)}
        assert known == {id(s) for s in self._sequences.values()}, "a sequence neither waits nor runs"
        assert all(record == s.record for record, s in self._sequences.items()), "records are mixed up"

    def counters(self) -> dict[str, int]:
        """Figures for metrics: totals since the start, then how things stand. Hits are tokens; `store_...` are those
        of weights that stream, `gpu_...` of experts in a device's slots."""
        store, hot = self.executable.store, hot_set(self.executable)
        return {
            "steps": self.steps,
            "runs": self.runs,
            "rows": self.rows,
            "prompt_tokens": self.prompt_tokens,
            "generated_tokens": self.generated_tokens,
            "prefix_hits": self.scheduler.prefix_hits,
            "preemptions": self.scheduler.preemptions,
            "running": len(self.scheduler.running),
            "waiting": len(self.scheduler.waiting),
            "free_blocks": self.paging.available + self.paging.lent,
            **(figures(store.native, store.miss_rule) if store is not None else {}),
            **(hot.figures() if hot is not None else {}),
        }

    def _receive(self) -> bool:
        """Takes commands; tells whether there were any."""
        commands = self._port.commands()
        for command, record, generation in commands:
            known = self._sequences.get(record)
            if known is not None and known.generation == generation:
                if command is Command.CANCEL:
                    self._end(known, FinishReason.CANCELLED)
            elif command is Command.SUBMIT and self._is_new(record, generation):
                self._accept(record)
        return bool(commands)

    def _is_new(self, record: int, generation: int) -> bool:
        """Whether the record still holds that request, unanswered: a command may come again after a restart."""
        same = self._table.generation(record) == generation
        return same and self._table.committed(record).finish is FinishReason.NONE

    def _accept(self, record: int) -> None:
        sequence = activate(self._table, record, self._arrivals, self.capacity)
        if self._table.suspect(record):
            sequence.alone_until = max(self._table.reach(record), sequence.computed + 1)
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

    def _plan(self, news: bool) -> Step | None:
        """What to submit now: for `news` that come during a run, or who waits for its end, an empty step if there can
        be no other."""
        if len(self._flights) == MAX_IN_FLIGHT:
            return None
        step = self.scheduler.plan_step(len(self._flights), self._pace.steps)
        return step if step.work or (self._in_run and (news or self.scheduler.left_out)) else None

    @property
    def _in_run(self) -> bool:
        return bool(self._flights) and self._flights[0].is_run

    def _submit(self, step: Step) -> None:
        batch = make_batch(step)
        self._number += 1
        self._table.mark_step({w.sequence.record: _reach(w, step.steps) for w in step.work}, self._number)
        started = perf_counter()
        try:
            self.executable.submit(batch)
        except BatchError:
            self._refused(step.work)
            return
        for w in step.work:
            w.sequence.submitted(w.span, step.steps)
            self.paging.remember(w.sequence)
        self.paging.submitted(self._number)
        self._flights.append(Flight(self._number, step, started))
        self.runs += step.steps > 1
        self.prompt_tokens += batch.prompt_rows

    def _refused(self, work: list[Work]) -> None:
        """The backend took nothing of the step: its one sequence fails, or each must try alone."""
        if not self._flights:
            self._table.step_done(self._number)
        if len(work) == 1:
            self._end(work[0].sequence, FinishReason.ERROR)
            return
        for w in work:
            w.sequence.alone_until = max(w.sequence.alone_until, w.sequence.scheduled + 1)

    def _collect(self) -> None:
        """Commits and publishes what the oldest step made, or the next part of a run."""
        result, flight = self.executable.collect(), self._flights[0]
        events = self._commit(flight, result)
        if not result.more:
            self._flights.popleft()
            self._table.step_done(flight.number)
            self.paging.collected(flight.number)
            if flight.is_run:
                self.scheduler.run_ended(flight.step.work)
        self._count(flight, result, events)
        self._port.publish(events)

    def _commit(self, flight: Flight, result: StepResult) -> list[TokenEvent]:
        """Makes rows and draws known for good; returns what there is to publish."""
        draws = _draws(result)
        events: list[TokenEvent] = []
        for w in flight.step.work:
            drawn = next(draws) if w.span.sample else _NOTHING
            if w.sequence.stay == w.stay:
                if reason := result.faults.get(w.span.slot, ""):
                    self._spoiled(w)
                    drawn = _Drawn(drawn.tokens, True, reason)
                w.sequence.computed += len(drawn.tokens) if flight.is_run else w.span.count
                events += self._extend(w.sequence, drawn)
        return events

    def _spoiled(self, work: Work) -> None:
        """The rows of a span have no numbers: nobody will find their blocks, and whoever shares one computes it again.
        (Those who came after whoever shares one have not been submitted yet.)"""
        blocks = self.paging.forget(work.sequence, work.span.start)
        for other in list(self.scheduler.running):
            shared = [index for index, block in enumerate(other.blocks[0]) if block in blocks]
            if shared and other is not work.sequence:
                blocks |= self.paging.forget(other, shared[0] * self.plan.block_size)
                self.scheduler.retire(other, FinishReason.NONE)

    def _extend(self, sequence: Active, drawn: _Drawn) -> list[TokenEvent]:
        """Commits what was drawn up to the sequence's end; a run may have gone beyond it."""
        events = []
        finish = FinishReason.NONE
        for token, logprob, top in drawn.tokens:
            finish = sequence.draw(token)
            top = top[: max(sequence.request.sampling.logprobs, 0)]
            events.append(TokenEvent(sequence.record, sequence.generated - 1, token, finish, logprob, top))
            if finish:
                break
        if drawn.failed and not finish:
            finish = FinishReason.WEIGHTS if drawn.reason else FinishReason.NUMBERS
            events.append(TokenEvent(sequence.record, sequence.generated, -1, finish, reason=drawn.reason))
        if finish:
            self._retire(sequence, finish)
        else:
            self._table.commit(sequence.record, sequence.state())
            self._survived(sequence)
        return events

    def _count(self, flight: Flight, result: StepResult, events: list[TokenEvent]) -> None:
        work = flight.step.work
        steps = int(result.counts.max(initial=0)) if flight.is_run else int(bool(work))
        self._pace.collected(flight.submitted, steps if flight.only_generates else 0, result.more)
        self.steps += steps
        self.rows += int(result.counts.sum()) if flight.is_run else sum(w.span.count for w in work)
        self.generated_tokens += sum(event.token >= 0 for event in events)

    def _survived(self, sequence: Active) -> None:
        if sequence.alone_until and not sequence.alone:
            sequence.alone_until = 0
            self._table.set_suspect(sequence.record, False)

    def _idle(self) -> bool:
        if not self._checked:
            self.check_integrity()
            self._checked = True
        return False


def _balance(executable: Executable, paging: Paging, plan: Plan, caches: Sequence[CacheGroup]) -> Balance | None:
    """For weights that stream, experts or the like: layers pass through their slots in turn, which so many serve."""
    store = executable.store
    if store is None or not store.elastic or store.parcels.dense:
        return None
    from ostinato.engine.balance import Balance  # with half of memory/, which no other model needs

    return Balance(store, executable, paging, plan, caches)


def _reach(work: Work, steps: int) -> int:
    """What to mark the sequence with. A suspect stays one up to where its step died, also through another death."""
    return max(work.sequence.reach(work.span, steps), work.sequence.alone_until)


_Token = tuple[int, float, tuple[tuple[int, float], ...]]  # id, log-probability, the best ones


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What one span drew; `failed`: then no logit was a number, and `reason` says why, where that is known."""

    tokens: list[_Token]
    failed: bool = False
    reason: str = ""


_NOTHING = _Drawn([])


def _draws(result: StepResult) -> Iterator[_Drawn]:
    """What each sampled span drew, in order."""
    tokens, logprobs, asked = result.tokens.tolist(), result.logprobs.tolist(), result.top_ids[:, :, :1] >= 0
    for row, (count, failed) in enumerate(zip(result.counts.tolist(), result.failed.tolist(), strict=True)):
        tops = [_top(result, row, step) if asked[row, step] else () for step in range(count)]
        yield _Drawn(list(zip(tokens[row][:count], logprobs[row][:count], tops, strict=True)), failed)


def _top(result: StepResult, row: int, step: int) -> tuple[tuple[int, float], ...]:
    return tuple(zip(result.top_ids[row, step].tolist(), result.top_logprobs[row, step].tolist(), strict=True))
