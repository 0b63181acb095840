"""The host's side of a persistent launch: tells it to leave, takes steps out of its ring.

Command, Status and the ring lie in pinned host memory. Words are loaded with acquire and stored with release; on
the device the counterparts are fences of system scope around volatile accesses (kernels/device_team.h).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ostinato._rings import load_word, store_word
from ostinato.backends.cuda.machine import (
    COMMAND,
    ENTRY,
    ENTRY_WORDS,
    PERSISTENT_SEQUENCES,
    STATUS,
    Left,
)
from ostinato.backends.device.state_table import BEST, DRAWN


@dataclass(frozen=True)
class Taken:
    """Steps in order: drawn int32 [steps, draws, words of Drawn], best int32 [steps, draws, words of Best] (valid
    where the slot asked for log-probabilities). `left` other than RUNNING: no step will follow."""

    drawn: np.ndarray
    best: np.ndarray
    left: Left


class Ring:
    """One launch at a time: `reset`, launch, `take` until it has left. The arrays are int32 and share memory with
    the device: command [words of Command], status [words of Status], entries [n, ENTRY_WORDS]."""

    def __init__(
        self,
        command: np.ndarray,
        status: np.ndarray,
        entries: np.ndarray,
        load: Callable[[np.ndarray, int], int] = load_word,
        store: Callable[[np.ndarray, int, int], None] = store_word,
    ) -> None:
        if entries.shape[1] != ENTRY_WORDS or not len(entries):
            raise ValueError(f"a ring of shape {entries.shape}; entries have {ENTRY_WORDS} words")
        self._command, self._status, self._entries = command, status, entries
        self._load, self._store = load, store
        self._taken = 0

    def reset(self) -> None:
        """Before a launch, with none on the device."""
        self._command[:] = 0
        self._status[:] = 0
        self._taken = 0

    def leave(self) -> None:
        """The launch ends after the step at hand, which it still publishes."""
        self._store(self._command, COMMAND.index("leave"), 1)

    def take(self) -> Taken:
        """What was published since the last call, without waiting."""
        left = Left(self._load(self._status, STATUS.index("left")))  # first: it is written last
        published = self._load(self._status, STATUS.index("published"))
        numbers = [step % len(self._entries) for step in range(self._taken, published)]
        entries = self._entries[numbers]  # a copy: the place may be written again after the store below
        if numbers:
            self._taken = published
            self._store(self._command, COMMAND.index("taken"), published)
        return Taken(*_split(entries), left)


def _split(entries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Drawn and Best of int32 [steps, ENTRY_WORDS], without the places that no span used."""
    draws = int(entries[0, ENTRY.index("draws")]) if len(entries) else 0
    first, middle = len(ENTRY.words), len(ENTRY.words) + PERSISTENT_SEQUENCES * len(DRAWN.words)
    drawn = entries[:, first:middle].reshape(len(entries), PERSISTENT_SEQUENCES, len(DRAWN.words))
    best = entries[:, middle:].reshape(len(entries), PERSISTENT_SEQUENCES, len(BEST.words))
    return drawn[:, :draws], best[:, :draws]
