"""A device's StepState, packet, result and arena as NumPy arrays, and phases run on them one call at a time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ostinato.backends.batch import Batch
from ostinato.backends.batch_table import Record
from ostinato.backends.contract import Plan
from ostinato.backends.device.lower import Call
from ostinato.backends.device.phases_table import BY_NAME
from ostinato.backends.device.state import initial, layout, packet_words, result_words
from ostinato.backends.device.state_table import BEST, DRAW, DRAWN, LAYOUT, SLOT, STEP
from tests.backends.webgpu.runner import Buffers, run_all

GARBAGE = 0x7FC0DEAD  # what nobody wrote: a NaN, and as an integer out of every range


class World:
    """The buffers of one executable. `groups` is how many workgroups each phase gets."""

    def __init__(
        self, plan: Plan, caches: int = 0, vocab: int = 32, max_steps: int = 4, arena: int = 16, kv: int = 16,
        groups: int = 3,
    ) -> None:  # fmt: skip
        self.plan, self.groups = plan, groups
        self._words = layout(plan, caches, vocab, max_steps)
        self._max_steps = max_steps
        self.state = initial(self._words)
        self.packet = np.zeros(packet_words(plan, caches, vocab), dtype=np.int32)
        self.result = np.full(sum(result_words(plan, max_steps)), GARBAGE, dtype=np.int32)
        self.arena = np.full(arena, GARBAGE, dtype=np.uint32)
        self.kv = np.full(kv, GARBAGE, dtype=np.uint32)

    def take(self, batch: Batch) -> None:
        """The packet, and what `begin` makes of it."""
        words = batch.encode()
        assert len(words) <= len(self.packet)
        self.packet[:] = GARBAGE
        self.packet[: len(words)] = words
        self.run("begin")

    def run(self, phase: str, **words: float) -> None:
        """Runs one call; all of its words that are not given are 0."""
        self.run_calls((phase, words))

    def run_calls(self, *calls: tuple[str, Mapping[str, float]]) -> None:
        """Runs calls one after the other; their words by name."""
        whole = [Call(phase, _words(phase, words)) for phase, words in calls]
        buffers = Buffers(self.arena, self.state, self.kv, self.packet, self.result)
        after = run_all([(call, ()) for call in whole], buffers, workgroups=self.groups)
        for name in ("arena", "state", "kv", "result"):
            setattr(self, name, getattr(after, name)[: len(getattr(self, name))].copy())

    # ------------------------------------------------------------------------------------------------- looking

    @property
    def step(self) -> dict[str, int]:
        """The Step record by word."""
        return _record(STEP, self.state[len(LAYOUT.words) :])

    def section(self, name: str, *shape: int) -> np.ndarray:
        """A view of a section of StepState."""
        at = self._words[name]
        return self.state[at : at + int(np.prod(shape))].reshape(shape)

    def slot(self, index: int) -> dict[str, int]:
        return _record(SLOT, self.section("slot", self.plan.max_sequences, len(SLOT.words))[index])

    def history(self, slot: int) -> np.ndarray:
        return self.section("history", self.plan.max_sequences, self.plan.context + 1)[slot]

    def tables(self, slot: int) -> np.ndarray:
        """[caches, blocks_per_sequence]"""
        shape = (self.plan.max_sequences, self._words["caches"], self.plan.blocks_per_sequence)
        return self.section("table", *shape)[slot]

    def draws(self) -> list[dict[str, int]]:
        records = self.section("draw", self.plan.max_sequences, len(DRAW.words))
        return [_record(DRAW, words) for words in records[: self.step["draws"]]]

    def drawn(self) -> np.ndarray:
        """int32 [max_steps, max_sequences, len(DRAWN)]: a view."""
        size = result_words(self.plan, self._max_steps)[0]
        return self.result[:size].reshape(self._max_steps, self.plan.max_sequences, len(DRAWN.words))

    def best(self) -> np.ndarray:
        """int32 [max_steps, max_sequences, len(BEST)]: a view."""
        size = result_words(self.plan, self._max_steps)[0]
        return self.result[size:].reshape(self._max_steps, self.plan.max_sequences, len(BEST.words))


def _words(phase: str, given: Mapping[str, float]) -> dict[str, float]:
    names = [name.removesuffix(":f") for name in BY_NAME[phase].words]
    assert set(given) <= set(names)
    return dict.fromkeys(names, 0) | given


def _record(record: Record, words: np.ndarray) -> dict[str, int]:
    return {record.word_name(i): int(words[i]) for i in range(len(record.words))}
