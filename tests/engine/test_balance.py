"""Blocks that are lent to expert slots: they come back when they are wanted, and tokens stay the same."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from ostinato import _memory
from ostinato.backends.contract import StateAction
from ostinato.backends.sampling import Sampling
from ostinato.engine.blocks import BlockPool
from ostinato.engine.engine import Engine
from ostinato.engine.evaluate import logits
from ostinato.engine.loading import Opened
from ostinato.engine.local import local_engine
from ostinato.engine.paging import Paging
from ostinato.engine.request import Request
from ostinato.memory import elastic
from tests.memory.streamed import OPTIONS, opened_with

# Keys and values of 16 positions take 32 kB, an expert 148 kB: sixty blocks are worth a dozen experts.
ROOMY = replace(OPTIONS, context=512, max_sequences=4, blocks=96, run_steps=1)


def test_the_upper_end_is_lent_and_taken_last() -> None:
    pool = BlockPool(10)
    held = [pool.take() for _ in range(3)]
    assert pool.lendable == 7
    assert list(pool.lend(4)) == [6, 7, 8, 9]
    assert (pool.available, pool.lendable) == (3, 3)
    pool.check(dict.fromkeys(held, 1))
    assert {pool.take() for _ in range(3)} == {3, 4, 5}
    with pytest.raises(IndexError):
        pool.take()
    pool.take_back(2)
    assert pool.take() == 6
    pool.take_back(2)
    pool.release([5])
    assert pool.available == 4
    assert pool.lendable == 3, "6 is held"
    pool.check(dict.fromkeys([*held, 3, 4, 6], 1))


def test_paging_calls_back_what_it_lacks() -> None:
    paging, asked = Paging(12, 4, 2), []

    def recall(count: int) -> None:
        asked.append(count)
        paging.take_back(min(paging.lent, count + 1))

    paging.recall = recall
    assert paging.lend(8) == range(4, 12)
    assert (paging.available, paging.lent) == (4, 8)
    assert paging.claim(4)
    assert not asked
    assert paging.claim(6)
    assert asked == [2]
    assert (paging.available, paging.lent) == (7, 5)
    assert not paging.claim(13)
    assert (paging.available, paging.lent) == (12, 0)


class Script:
    """Answers in waves; between them the engine idles in steps of one sequence, in which blocks are lent."""

    def __init__(self, opened: Opened) -> None:
        self.opened = opened
        self.executable = opened.compile()
        self.engine, self.port = local_engine(opened, self.executable, 32)
        self.lent = self.moves = 0

    def play(self) -> list[list[int]]:
        rng = random.Random(5)
        answers = []
        for sequences, prompt, tokens in ((1, 20, 90), (4, 300, 60), (1, 30, 150), (8, 120, 100), (1, 350, 100)):
            prompts = [[rng.randrange(3, self.opened.spec.vocab_size) for _ in range(prompt)] for _ in range(sequences)]
            answers += self._wave(prompts, tokens)
        return answers

    def _wave(self, prompts: Sequence[Sequence[int]], tokens: int) -> list[list[int]]:
        streams = [self.port.submit(Request(tuple(prompt), tokens, Sampling(temperature=0.0))) for prompt in prompts]
        while self.engine.step():
            self.lent = max(self.lent, self.engine.paging.lent)
        self.engine.check_integrity()
        assert all(len(stream.events) == tokens for stream in streams if stream)
        return [[event.token for event in stream.events] for stream in streams if stream]


def test_tokens_are_the_same_while_slots_and_blocks_change_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elastic, "LOOK_STEPS", 8)
    monkeypatch.setattr(elastic, "MARGIN", 0.0)
    with opened_with(0, options=ROOMY) as opened:
        whole = Script(opened).play()
    for per_layer in (False, True):
        with opened_with(0.4, options=ROOMY, per_layer=per_layer) as opened:
            script = Script(opened)
            assert script.play() == whole
            balance, store = script.engine._balance, script.executable.store
            assert balance is not None
            assert store is not None
            assert script.lent > 24
            assert balance.elastic.moves > (4 if per_layer else 2), "lent, called back, lent"
            store.native.check_integrity()
            planned = store.plan.slot_bytes
            assert store.native.bytes <= store.native.budget == balance.elastic.bytes
            assert balance.elastic.bytes == planned + balance._worth(script.engine.paging.lent)
            assert len(logits(script.engine, list(range(3, 500)))) == 497, "whatever is lent, a whole context fits"
            script.executable.close()


def test_slots_stay_where_they_are_if_so_wanted() -> None:
    with opened_with(0.4, options=ROOMY, elastic=False) as opened:
        script = Script(opened)
        assert script.engine._balance is None
        script.executable.close()


def test_dropped_blocks_lose_their_memory_and_others_keep_it() -> None:
    with opened_with(0, options=ROOMY) as opened:
        executable = opened.compile()
        block = len(executable.state(StateAction.SPILL, 0, [0]))
        executable.state(StateAction.RESTORE, 0, range(96), data=bytes([7]) * 96 * block)
        executable.state(StateAction.DROP, 0, range(40, 96))
        kept = executable.state(StateAction.SPILL, 0, range(40))
        assert set(kept) == {7}
        gone = executable.state(StateAction.SPILL, 0, range(40, 96))
        assert gone.count(0) > len(gone) * 0.8, "whole pages read as zeros"
        executable.close()


def test_bytes_that_are_no_page_stay() -> None:
    memory = np.full(5 * 4096, 3, np.uint8)
    _memory.give_back(memory[:100])
    assert (memory == 3).all()
    _memory.give_back(memory)
    assert (memory == 0).sum() >= 4 * 4096 - 4096
    assert memory[0] == 3 or memory.ctypes.data % 4096 == 0


def test_an_engine_with_nothing_to_lend_has_no_controller() -> None:
    with opened_with(0, options=ROOMY) as opened:
        executable = opened.compile()
        engine, _ = local_engine(opened, executable, 4)
        assert isinstance(engine, Engine)
        assert engine._balance is None
        assert engine.paging.recall is None
        executable.close()
