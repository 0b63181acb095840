"""Batches in flight: a single step, a run of graphs, a run in the persistent kernel. Each is collected in parts.

`collect` gives the next part of what was drawn; `leave` asks a run to end at its next token.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ostinato.backends.cuda.driver import DeviceError, Event
from ostinato.backends.cuda.image import Staging
from ostinato.backends.cuda.machine import Left
from ostinato.backends.cuda.ring import Ring
from ostinato.backends.device.state_table import BEST, DRAWN, STEP

CHUNK = 4  # graph launches of a run between two looks at it
_POLL_SECONDS = 20e-6


@dataclass(frozen=True)
class Part:
    """Drawn int32 [steps, draws, len(DRAWN)], Best alike; `more` where the run goes on. Views of pinned memory."""

    drawn: np.ndarray
    best: np.ndarray
    more: bool


class Flight(Protocol):
    """A batch that was submitted."""

    def leave(self) -> None: ...

    def collect(self) -> Part:
        """Waits for the next part."""


class SingleStep:
    """A step that is over when its event is done."""

    def __init__(self, staging: Staging, draws: int, sequences: int, event: Event) -> None:
        self._result, self._draws, self._event = Result(staging, sequences), draws, event

    def leave(self) -> None:
        """A step ends by itself."""

    def collect(self) -> Part:
        self._event.wait()
        return Part(*self._result.steps(0, 1, self._draws), more=False)


class GraphRun:
    """Repeats a step in chunks, two of them ahead of who collects.

    `launch(first, count, place)` launches steps first .. first + count of the run and copies their results to the
    staging, with the Step record after them to its place there.
    """

    def __init__(
        self, staging: Staging, draws: int, sequences: int, steps: int, launch: Callable[[int, int, int], Event]
    ) -> None:
        self._staging, self._result = staging, Result(staging, sequences)
        self._draws, self._steps, self._launch = draws, steps, launch
        self._next = 0  # first step that is not launched
        self._chunks: deque[tuple[int, int, Event]] = deque()
        for _ in staging.step:
            self._launch_chunk()

    def leave(self) -> None:
        self._steps = self._next

    def collect(self) -> Part:
        first, count, event = self._chunks.popleft()
        event.wait()
        if self._staging.step[self._place(first), STEP.index("running")] == 0:  # what was launched beyond draws nothing
            self.leave()
            self._chunks.clear()
        self._launch_chunk()
        return Part(*self._result.steps(first, count, self._draws), more=bool(self._chunks))

    def _launch_chunk(self) -> None:
        if count := min(CHUNK, self._steps - self._next):
            self._chunks.append((self._next, count, self._launch(self._next, count, self._place(self._next))))
            self._next += count

    def _place(self, first: int) -> int:
        return first // CHUNK % len(self._staging.step)


class PersistentRun:
    """A launch of the persistent kernel, read from its ring. `event` is done when the launch has ended."""

    def __init__(self, staging: Staging, draws: int, event: Event) -> None:
        self._ring, self._event = Ring(staging.command, staging.status, staging.ring, draws), event

    def leave(self) -> None:
        self._ring.leave()

    def collect(self) -> Part:
        while True:
            over = self._event.done()  # before the look, which then finds all that the launch wrote
            taken = self._ring.take()
            if len(taken.drawn) or taken.left is not Left.RUNNING:
                return Part(taken.drawn, taken.best, more=taken.left is Left.RUNNING)
            if over:
                raise DeviceError("the persistent kernel ended without a word")
            time.sleep(_POLL_SECONDS)


class Result:
    """The result buffer in a staging: where Drawn and Best of a step lie, in words."""

    def __init__(self, staging: Staging, sequences: int) -> None:
        self._words, self._sequences = staging.result, sequences
        self._drawn_words = len(staging.result) // (len(DRAWN.words) + len(BEST.words)) * len(DRAWN.words)

    def drawn_span(self, first: int, count: int) -> tuple[int, int]:
        """First word and words of the Drawn of some steps."""
        width = self._sequences * len(DRAWN.words)
        return first * width, count * width

    def best_span(self, first: int, count: int) -> tuple[int, int]:
        width = self._sequences * len(BEST.words)
        return self._drawn_words + first * width, count * width

    def steps(self, first: int, count: int, draws: int) -> tuple[np.ndarray, np.ndarray]:
        """Drawn and Best of steps first .. first + count; views."""
        out = []
        for (start, words), record in ((self.drawn_span(first, count), DRAWN), (self.best_span(first, count), BEST)):
            whole = self._words[start : start + words].reshape(count, self._sequences, len(record.words))
            out.append(whole[:, :draws])
        return out[0], out[1]
