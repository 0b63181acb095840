"""An engine in this process: the same records, in memory of its own, and a port without rings."""

from __future__ import annotations

import mmap
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ostinato.backends.contract import Executable, Plan
from ostinato.engine.engine import Engine
from ostinato.engine.records_table import NOT_FINITE, UNREADABLE, Command, FinishReason
from ostinato.engine.request import Request, TokenEvent
from ostinato.engine.sequences import SequenceTable

if TYPE_CHECKING:
    from ostinato.engine.loading import Opened


FAILURES = {
    FinishReason.ERROR: "the backend refused the request",
    FinishReason.NUMBERS: NOT_FINITE,
    FinishReason.WEIGHTS: UNREADABLE,
}


class Stream:
    """What came of one request so far; `events` are to be taken from the left. `failure`: why there is no answer, or
    no more of it; "" where nothing went wrong."""

    def __init__(self, record: int, generation: int) -> None:
        self.record, self.generation = record, generation
        self.events: deque[TokenEvent] = deque()
        self.finish = FinishReason.NONE
        self.failure = ""


class LocalPort:
    """Owner of a table and port of its engine, in one."""

    def __init__(self, plan: Plan, caches: int, capacity: int) -> None:
        shape = (capacity, plan.context, caches, plan.blocks_per_sequence)
        memory = np.frombuffer(mmap.mmap(-1, SequenceTable.bytes(*shape)), dtype=np.uint8)
        self.table = SequenceTable(memory, *shape, create=False)  # new memory is zero, and untouched pages are free
        self._commands: list[tuple[Command, int, int]] = []
        self._streams: dict[int, Stream] = {}

    def submit(self, request: Request) -> Stream | None:
        """Files a request; None when every record is taken. Raises RecordError for one that is too long."""
        allocated = self.table.allocate(request)
        if allocated is None:
            return None
        stream = Stream(*allocated)
        self._streams[stream.record] = stream
        self._commands.append((Command.SUBMIT, stream.record, stream.generation))
        return stream

    def cancel(self, stream: Stream) -> None:
        """Ends it soon, with CANCELLED, unless it has ended by itself."""
        if not stream.finish:
            self._commands.append((Command.CANCEL, stream.record, stream.generation))

    def commands(self) -> Sequence[tuple[Command, int, int]]:
        """The engine takes what was asked for since."""
        taken, self._commands = self._commands, []
        return taken

    def publish(self, events: Sequence[TokenEvent]) -> None:
        """The engine leaves tokens; a record whose end is here is given back."""
        for event in events:
            stream = self._streams[event.request]
            stream.events.append(event)
            self.table.ack(event.request, event.index + (event.token >= 0))
            if event.finish:
                stream.finish = event.finish
                stream.failure = FAILURES.get(event.finish, "").format(event.reason)
                del self._streams[event.request]
                self.table.free(event.request)


def local_engine(opened: Opened, executable: Executable, capacity: int) -> tuple[Engine, LocalPort]:
    """The engine of a compiled model, for `capacity` requests running and waiting."""
    caches = opened.programs.caches
    port = LocalPort(opened.plan, len(caches), capacity)
    recurrent = opened.programs.recurrent
    return Engine(executable, opened.plan, caches, port.table, port, opened.run_steps, recurrent), port
