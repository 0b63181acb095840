"""StepState in NumPy: everything that changes from step to step, by slot. The definition for every backend.

A native backend keeps the same fields in its own memory; a GPU in one device buffer. `apply` brings a batch's
changes in, `rows` tells each row's slot, position and token, `finish` advances what `sample` did not, `goes_on`
says where a run stops a slot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ostinato.backends.batch import Batch, Enter
from ostinato.backends.contract import BatchError, Plan
from ostinato.backends.sampling import Sampling


@dataclass
class Slot:
    """One sequence's place. history[p] is the token at position p, for every p < length, and token = history[length]
    once one was sampled."""

    history: np.ndarray  # int32 [context + 1]
    tables: np.ndarray  # int32 [caches, blocks_per_sequence]
    length: int = 0  # positions whose rows were computed
    computed: bool = True  # all of them by this executable (not known from a history that entered)
    prompt_length: int = 0
    sampling: Sampling = field(default_factory=Sampling)
    limit: int = 0  # where a run stops it
    stops: Sequence[int] = ()


@dataclass(frozen=True)
class Rows:
    """The rows of a step, all [T]; `logit` are the R rows that produce logits."""

    slot: np.ndarray
    position: np.ndarray
    token: np.ndarray
    logit: np.ndarray
    prompt_rows: int


class StepState:
    """Slots of one executable."""

    def __init__(self, plan: Plan, caches: int) -> None:
        self._plan = plan
        self.slots = [
            Slot(
                np.zeros(plan.context + 1, dtype=np.int32),
                np.full((caches, plan.blocks_per_sequence), -1, dtype=np.int32),
            )
            for _ in range(plan.max_sequences)
        ]

    def apply(self, batch: Batch) -> Rows:
        """Enters, block tables and known tokens; then the rows as they stand."""
        for enter in batch.enters:
            self._enter(enter)
        for edit in batch.tables:
            table = self.slots[edit.slot].tables[edit.cache]
            table[edit.first : edit.first + len(edit.blocks)] = edit.blocks
        for span in batch.spans:
            if span.tokens is not None:
                slot = self.slots[span.slot]
                slot.history[span.start : span.start + span.count] = span.tokens
                slot.length, slot.computed = span.start, slot.computed or span.start == 0
        return self._rows(batch)

    def check_continues(self, batch: Batch) -> None:
        """Raises BatchError unless every span of a program with recurrent state goes on where its slot's state stands,
        or begins at position 0: the state cannot be rolled back, and is not part of a history that enters."""
        entering = {enter.slot: len(enter.history) for enter in batch.enters}
        for span in batch.spans:
            slot = self.slots[span.slot]
            length = entering.get(span.slot, slot.length)
            computed = slot.computed if span.slot not in entering else length == 0
            start = length if span.tokens is None else span.start
            if start != 0 and not (computed and start == length):
                stands = f"stands at {length}" if computed else "is not here"
                raise BatchError(
                    f"slot {span.slot}: rows from position {start}, its recurrent state {stands}; "
                    "compute it again from position 0"
                )

    def finish(self, batch: Batch) -> None:
        """Spans advance their slots by their rows."""
        for span in batch.spans:
            self.slots[span.slot].length += span.count

    def record(self, slot: int, position: int, token: int) -> None:
        """`sample` drew the token at `position`."""
        self.slots[slot].history[position] = token

    def goes_on(self, slot: int, token: int) -> bool:
        """Whether a run goes on with a slot whose last step drew `token` (-1: there was no number)."""
        s, size = self.slots[slot], self._plan.block_size
        if token < 0 or token in s.stops or s.length + 1 >= s.limit or s.length >= self._plan.context:
            return False
        return bool((s.tables[:, s.length // size] >= 0).all())

    def _enter(self, enter: Enter) -> None:
        slot = self.slots[enter.slot]
        slot.history[: len(enter.history)] = enter.history
        slot.length = len(enter.history)
        slot.computed = not enter.history
        slot.prompt_length = enter.prompt_length
        slot.sampling = enter.sampling
        slot.limit, slot.stops = enter.limit, enter.stops
        slot.tables[:] = -1

    def _rows(self, batch: Batch) -> Rows:
        slots = np.repeat([s.slot for s in batch.spans], [s.count for s in batch.spans]).astype(np.int32)
        starts = [self.slots[s.slot].length for s in batch.spans]
        positions = [start + np.arange(s.count) for start, s in zip(starts, batch.spans, strict=True)]
        position = np.concatenate(positions).astype(np.int32) if positions else np.zeros(0, np.int32)
        token = np.array([self.slots[s].history[p] for s, p in zip(slots, position, strict=True)], dtype=np.int32)
        return Rows(slots, position, token, _logit_rows(batch), batch.prompt_rows)


def _logit_rows(batch: Batch) -> np.ndarray:
    """Indices of the rows that produce logits: the last `logit_rows` of each span."""
    rows: list[int] = []
    end = 0
    for span in batch.spans:
        end += span.count
        rows += range(end - span.logit_rows, end)
    return np.array(rows, dtype=np.int32)
