"""RingPort: where an engine process gets its commands and leaves its tokens."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ostinato.engine.bell import Bell
from ostinato.engine.records_table import COMMAND, TOKEN, Command, FinishReason
from ostinato.engine.request import TokenEvent
from ostinato.engine.shared import Shared

_TOP_IDS = TOKEN.index("top_id0")
_TOP_LOGPROBS = TOKEN.index("top_logprob0")
_LOGPROB = TOKEN.index("logprob")
_TOP_COUNT = TOKEN.index("top_count")
_FULL_RING_NAP = 0.1  # seconds; the server rings as soon as there is room


@dataclass(frozen=True)
class Link:
    """The descriptors between a supervisor and its engine; `alive` is a pipe that only closes."""

    memory: int
    commands: Bell
    tokens: Bell
    alive: int

    def __str__(self) -> str:
        """As passed on a command line."""
        bells = (self.commands.reader, self.commands.writer, self.tokens.reader, self.tokens.writer)
        return ",".join(map(str, (self.memory, *bells, self.alive)))

    @classmethod
    def parse(cls, text: str) -> Link:
        """The reverse of str()."""
        memory, commands_in, commands_out, tokens_in, tokens_out, alive = map(int, text.split(","))
        return cls(memory, Bell(commands_in, commands_out), Bell(tokens_in, tokens_out), alive)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All of them, each once."""
        return tuple({int(fd) for fd in str(self).split(",")})


@dataclass
class RingPort:
    """The engine's end: commands in, tokens out. `publish` signals the server once."""

    shared: Shared
    link: Link
    _commands: NDArray[np.int32] = field(init=False)

    def __post_init__(self) -> None:
        self._commands = np.empty((self.shared.sizes.command_slots, len(COMMAND.words)), np.int32)

    def commands(self) -> Sequence[tuple[Command, int, int]]:
        """What the server said since the last call: (command, record, generation)."""
        count = self.shared.commands.pop_many(self._commands)
        return [(Command(code), record, generation) for code, record, generation in self._commands[:count].tolist()]

    def publish(self, events: Sequence[TokenEvent]) -> None:
        """Hands tokens of committed sequences (`request` is the record) to the server; waits while it is full."""
        if not events:
            return
        for event in events:
            if event.reason:
                self.shared.set_reason(event.request, event.reason)
        rows = encode_events(events, self.shared.table.generation)
        while (pushed := self.shared.tokens.push_many(rows)) < len(rows):
            rows = rows[pushed:]
            self._wait_for_room()
        self.link.tokens.ring()

    def wait(self) -> None:
        """Sleeps until the server says something. Ends the process when the server is gone."""
        if not len(self.shared.commands):  # a wait for room may have silenced their bell
            self._sleep(None)

    def _wait_for_room(self) -> None:
        self.shared.blocked = True
        self.link.tokens.ring()
        self._sleep(_FULL_RING_NAP)
        self.shared.blocked = False

    def _sleep(self, timeout: float | None) -> None:
        if not self.link.commands.wait(self.link.alive, timeout):
            sys.exit("the server is gone")


def encode_events(events: Sequence[TokenEvent], generation: Callable[[int], int]) -> NDArray[np.int32]:
    """Token records, int32 [n, words]."""
    rows = np.zeros((len(events), len(TOKEN.words)), np.int32)
    rows[:, :5] = [(e.request, generation(e.request), e.index, e.token, e.finish) for e in events]
    floats = rows.view(np.float32)
    floats[:, _LOGPROB] = [event.logprob for event in events]
    for row, event in enumerate(events):
        if event.top:
            count = len(event.top)
            rows[row, _TOP_COUNT] = count
            rows[row, _TOP_IDS : _TOP_IDS + count] = [token for token, _ in event.top]
            floats[row, _TOP_LOGPROBS : _TOP_LOGPROBS + count] = [logprob for _, logprob in event.top]
    return rows


def decode_event(row: NDArray[np.int32], request: int, reason: str = "") -> TokenEvent:
    """One token record, as an event of `request`."""
    _, _, index, token, finish = row[:5].tolist()
    floats = row.view(np.float32)
    count = int(row[_TOP_COUNT])
    ids = row[_TOP_IDS : _TOP_IDS + count].tolist()
    top = tuple(zip(ids, floats[_TOP_LOGPROBS : _TOP_LOGPROBS + count].tolist(), strict=True)) if count else ()
    return TokenEvent(request, index, token, FinishReason(finish), float(floats[_LOGPROB]), top, reason)
