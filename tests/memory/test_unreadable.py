"""Experts that cannot be read fail the requests that want them, with the reader's words, and nobody else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from ostinato.api import Model
from ostinato.backends.sampling import Sampling
from ostinato.cli.bench import Session
from ostinato.cli.errors import CliError
from ostinato.engine.records_table import FinishReason
from ostinato.engine.request import Request
from ostinato.memory import store as memory_store
from ostinato.memory.statistics import statistics
from tests.cli.support import start
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


def test_a_benchmark_of_what_cannot_be_read_has_no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    with model_over(monkeypatch) as (model, source):
        session = Session(model._opened, model._executable, model._port, model._engine)
        assert min(session.measure([prompt(0)], TOKENS)) > 0
        break_all(source, model)
        with pytest.raises(CliError, match=FAULT):
            session.measure([prompt(1), prompt(2)], TOKENS)


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


def test_a_file_that_was_replaced_since_it_was_opened_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    shutil.copy(BUILTIN, path)
    with opened_with(0.5, path=path) as opened:
        shutil.copy(BUILTIN, tmp_path / "other")
        os.replace(tmp_path / "other", path)
        with pytest.raises(OSError, match=r"model\.gguf: was replaced or changed"):
            opened.compile()


def test_a_replica_serves_what_the_file_does_not(tmp_path: Path, expected: dict[int, list[int]]) -> None:
    path, replica = tmp_path / "model.gguf", tmp_path / "replica.gguf"
    shutil.copy(BUILTIN, path)
    shutil.copy(BUILTIN, replica)
    with opened_with(2.0, path=path, replicas=(str(replica),)) as opened, Model(opened) as model:
        store = model._executable.store
        assert store is not None, "everything has a slot, and still the replica may serve"
        os.utime(path, ns=(0, 1))
        assert [tokens(model, prompt(seed)) for seed in range(4)] == [expected[seed] for seed in range(4)]
        assert statistics(store.native).counts["replica_bytes"] > 0


def test_the_engine_process_tells_its_client_why_and_goes_on(tmp_path: Path) -> None:
    """A file and its replica change under a server, and change back."""
    path, replica = tmp_path / "model.gguf", tmp_path / "replica.gguf"
    for copy in (path, replica):
        shutil.copy2(BUILTIN, copy)
    words = ["serve", str(path), "--backend", "cpu", "--port", "0", "--context", "256", "--memory", "4GiB"]
    server = start([*words, "--replica", str(replica)], {"XDG_RUNTIME_DIR": str(tmp_path)})
    try:
        assert server.stdout is not None
        url = server.stdout.readline().split()[3]
        before = {copy: copy.stat().st_mtime_ns for copy in (path, replica)}
        for copy in before:
            os.utime(copy, ns=(0, 1))
        status, text = ask(url)
        assert (status, text["error"]["code"]) == (500, "weights_unreadable")
        assert "model.gguf: was changed while it was in use" in text["error"]["message"]
        for copy, time in before.items():
            os.utime(copy, ns=(time, time))
        status, text = ask(url)
        with opened_with(0) as opened, Model(opened) as model:
            ids = model.tokenize("Once upon a time")
            assert (status, text["choices"][0]["text"]) == (200, model.generate(ids, max_tokens=8))
    finally:
        server.kill()
        server.communicate()


def ask(url: str) -> tuple[int, dict[str, Any]]:
    body = {"model": "model", "prompt": "Once upon a time", "max_tokens": 8, "temperature": 0}
    answer = httpx.post(f"{url}/completions", json=body, timeout=60)
    return answer.status_code, answer.json()
