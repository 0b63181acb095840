"""Active: one sequence as the engine drives it, from its arrival to its end.

The record in the sequence table says what is known for good; this adds what is under way: rows and draws in
steps not yet collected, the slot, and what the backend has been told. How far a run gets is known when it has
ended: until then `scheduled` and `pending` say how far it may get.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ostinato.backends.batch import Span
from ostinato.backends.batch_table import Kind
from ostinato.engine.records_table import FinishReason
from ostinato.engine.request import Request
from ostinato.engine.sequences import Committed, SequenceTable

if TYPE_CHECKING:
    import numpy as np

NO_SLOT = -1


@dataclass(eq=False, slots=True)
class Active:
    """0 <= computed <= scheduled <= length + pending, and blocks cover at least the scheduled positions."""

    record: int
    generation: int
    arrival: int
    request: Request
    limit: int  # tokens at which it ends: max_tokens generated, or the context is full
    tokens: np.ndarray  # int32 [context], the record's own
    tables: tuple[np.ndarray, ...]  # int32 [blocks_per_sequence] per cache group, the record's own
    length: int  # tokens known for good
    computed: int = 0  # rows committed
    scheduled: int = 0  # rows submitted
    pending: int = 0  # tokens drawn in steps not yet collected
    blocks: list[list[int]] = field(default_factory=list)  # held, per cache group
    names: list[bytes] = field(default_factory=list)  # of full blocks of known tokens (engine/prefix.py)
    remembered: int = 0  # blocks whose names the pools know
    slot: int = NO_SLOT
    entered: bool = False  # the backend knows that it has the slot
    listed: int = 0  # entries of each block table that the backend has
    stay: int = 0  # counts losses of the slot; results of an earlier stay are dropped
    sampled: bool = False  # in this stay: the newest token lies in the backend's StepState
    in_run: bool = False  # part of a run that is in flight
    alone_until: int = 0  # positions whose rows it must survive alone; 0: none

    @property
    def prompt_length(self) -> int:
        return len(self.request.prompt)

    @property
    def generated(self) -> int:
        """Generated tokens known for good."""
        return self.length - self.prompt_length

    @property
    def alone(self) -> bool:
        """Whether its next row must have no company."""
        return self.computed < self.alone_until

    @property
    def to_draw(self) -> int:
        """Tokens that it may still draw, beyond those that are being drawn."""
        return self.limit - self.length - self.pending

    @property
    def ready(self) -> bool:
        """Whether nothing is left to do but generated rows that take their tokens from StepState."""
        newest = self.scheduled == self.length + self.pending - 1
        return self.sampled and newest and self.to_draw > 0 and not self.in_run

    def run_end(self, steps: int) -> int:
        """Positions that its rows will fill after a run of so many steps, at most."""
        return self.scheduled + min(steps, self.to_draw)

    def next_span(self, rows: int) -> Span | None:
        """The next at most `rows` rows; None when all are submitted, the last token is being drawn, or a run is
        under way."""
        start = self.scheduled
        if self.in_run or start >= self.length + self.pending or self.to_draw <= 0:
            return None
        if start == self.length:
            return Span(self.slot, Kind.GENERATED, start, None, 1, sample=True)
        kind = Kind.PROMPT if start < self.prompt_length else Kind.GENERATED
        end = min(start + rows, self.prompt_length if kind is Kind.PROMPT else self.length)
        last = end == self.length
        return Span(self.slot, kind, start, self.tokens[start:end].tolist(), int(last), sample=last)

    def run_span(self) -> Span:
        """The first row of a run; the sequence is `ready`."""
        return Span(self.slot, Kind.GENERATED, self.scheduled, None, 1, sample=True)

    def reach(self, span: Span, steps: int) -> int:
        """Positions that its rows fill after `span`, or after a run of `steps` that begins with it, at most."""
        return self.run_end(steps) if steps > 1 else span.start + span.count

    def submitted(self, span: Span, steps: int = 1) -> None:
        """`span` is in a step, or a run of `steps`, that was submitted with all the backend did not know before."""
        self.entered = True
        self.listed = self.block_count
        self.sampled |= span.sample
        self.in_run = steps > 1
        reach = self.reach(span, steps)
        self.pending += reach - self.scheduled if self.in_run else span.sample
        self.scheduled = reach

    def run_ended(self) -> None:
        """All that its run made is known."""
        self.in_run = False
        self.scheduled, self.pending = self.computed, 0

    def draw(self, token: int) -> FinishReason:
        """A drawn token becomes known; tells whether it is the last."""
        self.tokens[self.length] = token
        self.length += 1
        self.pending -= 1
        return self.ended()

    def ended(self) -> FinishReason:
        """Whether the tokens known are the whole answer."""
        if self.generated and int(self.tokens[self.length - 1]) in self.request.stop_ids:
            return FinishReason.STOP
        return FinishReason.LENGTH if self.length >= self.limit else FinishReason.NONE

    @property
    def block_count(self) -> int:
        """Blocks held, of every cache group alike."""
        return len(self.blocks[0])

    def hold(self, blocks: tuple[int, ...]) -> None:
        """Appends one block per cache group to its block tables."""
        for table, held, block in zip(self.tables, self.blocks, blocks, strict=True):
            table[len(held)] = block
            held.append(block)

    def give_back(self, count: int) -> list[list[int]]:
        """Keeps `count` blocks per cache group; returns the others."""
        others = [held[count:] for held in self.blocks]
        for held in self.blocks:
            del held[count:]
        self.listed = min(self.listed, count)
        return others

    def leave(self) -> list[list[int]]:
        """Loses slot and KV, keeps its tokens; returns the blocks that it held."""
        blocks = self.blocks
        self.blocks = [[] for _ in blocks]
        self.computed = self.scheduled = self.pending = self.remembered = self.listed = 0
        self.slot, self.entered, self.sampled, self.in_run = NO_SLOT, False, False, False
        self.stay += 1
        return blocks

    def state(self, finish: FinishReason = FinishReason.NONE) -> Committed:
        """What to commit."""
        return Committed(self.length, self.computed, tuple(map(len, self.blocks)), finish)


def activate(table: SequenceTable, record: int, arrival: int, capacity: int) -> Active:
    """The sequence in `record` as it was committed, blocks included. `capacity`: positions it could ever have."""
    request, state = table.request(record), table.committed(record)
    tables = tuple(table.blocks(record, cache) for cache in range(table.caches))
    return Active(
        record=record,
        generation=table.generation(record),
        arrival=arrival,
        request=request,
        limit=min(len(request.prompt) + request.max_tokens, capacity),
        tokens=table.tokens(record),
        tables=tables,
        length=state.length,
        computed=state.computed,
        scheduled=state.computed,
        blocks=[entries[:count].tolist() for entries, count in zip(tables, state.blocks, strict=True)],
    )
