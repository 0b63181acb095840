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
    """The ring of one launch of `draws` sampling spans. The arrays are int32 and shared with the device: command
    [words of Command] and status [words of Status], zero before the launch; entries [n, ENTRY_WORDS]."""

    def __init__(
        self,
        command: np.ndarray,
        status: np.ndarray,
        entries: np.ndarray,
        draws: int,
        load: Callable[[np.ndarray, int], int] = load_word,
        store: Callable[[np.ndarray, int, int], None] = store_word,
    ) -> None:
        self._command, self._status, self._entries, self._draws = command, status, entries, draws
        self._load, self._store = load, store
        self._taken = 0

    def leave(self) -> None:
        """The launch ends after the step at hand, which it still publishes."""
        self._store(self._command, COMMAND.index("leave"), 1)

    def take(self) -> Taken:
        """What was published since the last call, without waiting."""
        left = Left(self._load(self._status, STATUS.index("left")))  # first: it is written last
        published = self._load(self._status, STATUS.index("published"))
        entries = self._entries[np.arange(self._taken, published) % len(self._entries)]  # a copy: see the store
        self._taken = published
        self._store(self._command, COMMAND.index("taken"), published)  # from here on their places are written again
        return Taken(*self._split(entries), left)

    def _split(self, entries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Drawn and Best of int32 [steps, ENTRY_WORDS]."""
        first, middle = len(ENTRY.words), ENTRY_WORDS - PERSISTENT_SEQUENCES * len(BEST.words)
        drawn = entries[:, first:middle].reshape(-1, PERSISTENT_SEQUENCES, len(DRAWN.words))
        best = entries[:, middle:].reshape(-1, PERSISTENT_SEQUENCES, len(BEST.words))
        return drawn[:, : self._draws], best[:, : self._draws]
