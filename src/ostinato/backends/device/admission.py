"""Admission: whether a batch may go to a device, whose kernels trust it.

Keeps what each slot will be once everything admitted has run: how long it is, and how far its block tables reach.
What a device computes with has been checked here or when the program was compiled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ostinato.backends.batch import Batch, Enter, Span, TableEdit
from ostinato.backends.contract import BatchError, Plan, check_batch
from ostinato.backends.sampling import SamplingError

_WORD = 1 << 31  # what a word of a packet (int32) does not hold any more


@dataclass(frozen=True)
class _Slot:
    """`blocks` known entries of each block table, from the first. `in_run`: the length is not known yet."""

    length: int = 0
    blocks: tuple[int, ...] = ()
    in_run: bool = False


@dataclass
class _Draft:
    """Slots as a batch would leave them."""

    known: dict[int, _Slot]
    changed: dict[int, _Slot] = field(default_factory=dict)

    def __getitem__(self, slot: int) -> _Slot:
        return self.changed.get(slot) or self.known[slot]

    def __setitem__(self, slot: int, value: _Slot) -> None:
        self.changed[slot] = value


def check_blocks(blocks: Sequence[int], to: Sequence[int], total: int) -> None:
    """Raises ValueError unless `Executable.state` names blocks of a pool of `total`."""
    if unknown := [block for block in (*blocks, *to) if not 0 <= block < total]:
        raise ValueError(f"block {unknown[0]}: the plan has {total}")


class Admission:
    """Checks batches for one executable. `tokens`: ids below this have a row in every embedding table."""

    def __init__(self, plan: Plan, caches: int, vocab_size: int, tokens: int, max_steps: int) -> None:
        self._plan, self._vocab, self._tokens, self._max_steps = plan, vocab_size, tokens, max_steps
        self._slots = {slot: _Slot(blocks=(0,) * caches) for slot in range(plan.max_sequences)}

    def admit(self, batch: Batch) -> None:
        """Counts the batch as submitted; or raises BatchError and changes nothing."""
        check_batch(batch, self._plan, self._tokens, self._max_steps)
        _check_once(batch)
        draft = _Draft(self._slots)
        for enter in batch.enters:
            self._enter(draft, enter)
        for edit in batch.tables:
            self._table(draft, edit)
        for slot, bits in batch.masks:
            self._mask(slot, bits)
        for span in batch.spans:
            self._span(draft, span, batch.steps)
        self._slots.update(draft.changed)

    def collected(self, slots: Sequence[int] | np.ndarray, rows: Sequence[int] | np.ndarray) -> None:
        """Slots of a run that is over advanced by so many rows each."""
        for slot, count in zip(slots, rows, strict=True):
            known = self._slots[int(slot)]
            self._slots[int(slot)] = replace(known, length=known.length + int(count), in_run=False)

    def length(self, slot: int) -> int:
        """Positions of the slot once everything admitted has run; of a run, those before it."""
        return self._slots[slot].length

    def _free(self, draft: _Draft, slot: int) -> _Slot:
        if not 0 <= slot < self._plan.max_sequences:
            raise BatchError(f"slot {slot}: the plan has {self._plan.max_sequences} slots")
        if draft[slot].in_run:
            raise BatchError(f"slot {slot}: its run has not been collected")
        return draft[slot]

    def _enter(self, draft: _Draft, enter: Enter) -> None:
        slot, where = self._free(draft, enter.slot), f"slot {enter.slot}"
        if len(enter.history) > self._plan.context:
            raise BatchError(f"{where}: a history of {len(enter.history)}; the context is {self._plan.context}")
        if not 0 <= enter.prompt_length < _WORD or not all(-_WORD <= n < _WORD for n in (enter.limit, *enter.stops)):
            raise BatchError(f"{where}: a prompt length, limit or stop token that a packet's word does not hold")
        if not all(0 <= token < self._tokens for token in enter.history):
            raise BatchError(f"{where}: a history token outside the vocabulary of {self._tokens}")
        try:
            enter.sampling.check(self._vocab)
        except SamplingError as error:
            raise BatchError(f"{where}: {error}") from error
        draft[enter.slot] = _Slot(len(enter.history), (0,) * len(slot.blocks))

    def _table(self, draft: _Draft, edit: TableEdit) -> None:
        slot = self._free(draft, edit.slot)
        if not 0 <= edit.cache < len(slot.blocks):
            raise BatchError(f"slot {edit.slot}: a table of cache {edit.cache}, which is not declared")
        known = slot.blocks[edit.cache]
        if edit.first > known:
            raise BatchError(f"slot {edit.slot}: table entries from {edit.first} on; {known} are known")
        end = max(known, edit.first + len(edit.blocks))
        blocks = (*slot.blocks[: edit.cache], end, *slot.blocks[edit.cache + 1 :])
        draft[edit.slot] = replace(slot, blocks=blocks)

    def _mask(self, slot: int, bits: np.ndarray) -> None:
        words = math.ceil(self._vocab / 32)
        if not 0 <= slot < self._plan.max_sequences or bits.shape != (words,) or bits.dtype != np.uint32:
            found = f"{bits.dtype} {list(bits.shape)}"
            raise BatchError(f"slot {slot}: a mask {found} for a vocabulary of {self._vocab}: uint32 [{words}] is one")
        if not np.unpackbits(np.ascontiguousarray(bits).view(np.uint8), bitorder="little")[: self._vocab].any():
            raise BatchError(f"slot {slot}: a mask that allows no token")

    def _span(self, draft: _Draft, span: Span, steps: int) -> None:
        slot = self._free(draft, span.slot)
        start = slot.length if span.tokens is None else span.start
        end = start + span.count
        if end > self._plan.context:
            raise BatchError(f"slot {span.slot}: position {end}; the context is {self._plan.context}")
        if any(known * self._plan.block_size < end for known in slot.blocks):
            raise BatchError(f"slot {span.slot}: the block table ends before position {end}")
        draft[span.slot] = replace(slot, length=start if steps > 1 else end, in_run=steps > 1)


def _check_once(batch: Batch) -> None:
    """What a packet has room for (state.packet_words): of each kind one record a slot, and a cache."""
    for what, keys in (
        ("slot enters", [enter.slot for enter in batch.enters]),
        ("slot's table is edited", [(edit.slot, edit.cache) for edit in batch.tables]),
        ("slot has its mask", [slot for slot, _ in batch.masks]),
    ):
        if len(set(keys)) != len(keys):
            raise BatchError(f"a {what} twice in one batch")
