"""Experts that cannot be read fail the requests that want them, with the reader's words, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from ostinato.api import Model
from ostinato.backends.sampling import Sampling
from ostinato.engine.records_table import FinishReason
from ostinato.engine.request import Request
from ostinato.memory import store as memory_store
from tests.memory.streamed import opened_with
from tests.memory.worlds import ScriptedSource
from tests.support import BUILTIN

TOKENS = 12
FAULT = "weights could not be read: planted fault"


@contextmanager
def model_over(monkeypatch: pytest.MonkeyPatch, part: float = 0.3) -> Iterator[tuple[Model, ScriptedSource]]:
    """The built-in model, its experts read from a source that can be broken."""
    source = ScriptedSource(np.fromfile(BUILTIN, np.uint8))
    monkeypatch.setattr(memory_store, "_source", lambda path, mode: source)
    with opened_with(part) as opened, Model(opened) as model:
        yield model, source


def prompt(seed: int, count: int = 40) -> list[int]:
    return np.random.default_rng(seed).integers(0, 500, count).tolist()


def tokens(model: Model, ids: list[int]) -> list[int]:
    return [event.token for event in model.events(ids, max_tokens=TOKENS, ignore_eos=True)]


@pytest.fixture(scope="module")
def expected() -> dict[int, list[int]]:
    with opened_with(0) as opened, Model(opened) as model:
        return {seed: tokens(model, prompt(seed)) for seed in range(4)}


def break_all(source: ScriptedSource, model: Model) -> None:
    store = model._executable.store
    assert store is not None
    source.broken = {e.offset for parcel in store.parcels.parcels for e in parcel.extents}


def test_a_request_fails_with_the_reader_s_words_and_can_be_asked_again(
    monkeypatch: pytest.MonkeyPatch, expected: dict[int, list[int]]
) -> None:
    with model_over(monkeypatch) as (model, source):
        for seed in range(4):
            break_all(source, model)
            with pytest.raises(RuntimeError, match=FAULT):
                tokens(model, prompt(seed))
            with pytest.raises(RuntimeError, match=FAULT):
                model.logits(prompt(seed))
            source.broken.clear()
            assert tokens(model, prompt(seed)) == expected[seed], "nothing of the failed prompt is in the prefix cache"
        model._engine.check_integrity()


@pytest.mark.parametrize("steps", [0, 3, 9, 30])
def test_a_fault_between_steps_harms_nobody_who_does_not_want_the_expert(
    monkeypatch: pytest.MonkeyPatch, expected: dict[int, list[int]], steps: int
) -> None:
    """One expert of the last layer breaks while four requests, two of them equal, are under way."""
    with model_over(monkeypatch) as (model, source):
        engine, port, store = model._engine, model._port, model._executable.store
        assert store is not None
        stack = store.parcels.stacks[-1]
        failed = 0
        for expert in range(stack.count):
            seeds = (0, 1, 1, 2)
            source.broken.clear()
            streams = [port.submit(Request(prompt(seed), TOKENS, Sampling(temperature=0))) for seed in seeds]
            for turn in range(10_000):
                if turn == steps:
                    source.broken = {e.offset for e in store.parcels.parcels[stack.first + expert].extents}
                if not engine.step():
                    break
            engine.check_integrity()
            for seed, stream in zip(seeds, streams, strict=True):
                assert stream is not None
                drawn = [event.token for event in stream.events if event.token >= 0]
                assert drawn == expected[seed][: len(drawn)]
                if stream.finish is FinishReason.WEIGHTS:
                    failed += 1
                    assert stream.events[-1].reason.startswith("planted fault")
                else:
                    assert (stream.finish, len(drawn)) == (FinishReason.LENGTH, TOKENS)
            source.broken.clear()
            for seed in set(seeds):
                assert tokens(model, prompt(seed)) == expected[seed]
        store.native.check_integrity()
        assert failed or steps == 30
