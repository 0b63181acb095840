"""The Python API, on small files with the reference and null backends."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import ostinato
from ostinato.api import Model
from ostinato.backends.contract import BatchError, CompileError
from ostinato.backends.sampling import SamplingError
from ostinato.engine.records_table import FinishReason
from ostinato.gguf.errors import GGUFError
from ostinato.memory.budget import BudgetError
from ostinato.memory.machine import process_bytes
from ostinato.memory.residency import WeightStore
from tests.memory.streamed import opened_with
from tools.tiny_models import write_tiny_model


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("api") / "tiny.gguf"
    write_tiny_model(path)
    return path


@pytest.fixture(scope="module", params=["null", "reference", "cpu"])
def model(request: pytest.FixtureRequest, path: Path) -> Iterator[Model]:
    with ostinato.load(path, backend=request.param, context=128) as model:
        yield model
        model._engine.drain()
        model._engine.check_integrity()


def test_text_comes_in_pieces_and_whole(model: Model) -> None:
    pieces = list(model.stream("hello", max_tokens=12))
    assert len(pieces) > 1
    assert "".join(pieces) == model.generate("hello", max_tokens=12)


def test_ids_and_text_are_the_same_prompt(model: Model) -> None:
    ids = model.tokenize("hello")
    assert ids[0] == model.tokenizer.bos_id
    assert model.generate(ids, max_tokens=8) == model.generate("hello", max_tokens=8)
    assert model.detokenize(model.tokenize("hello", add_special=False)).strip() == "hello"


def test_many_prompts_answer_as_each_alone(model: Model) -> None:
    prompts = [f"{i} hello {i * i}" for i in range(9)]
    together = model.generate_many(prompts, max_tokens=6)
    assert together == [model.generate(prompt, max_tokens=6) for prompt in prompts]


def test_more_prompts_than_records(path: Path) -> None:
    with ostinato.load(path, backend="null", context=32) as model:
        answers = model.generate_many([[i % 100 + 3] for i in range(600)], max_tokens=2)
        assert answers[:100] == answers[100:200] == answers[500:600]


def test_seeded_answers_repeat_and_seeds_differ(model: Model) -> None:
    def draw(seed: int | None) -> str:
        return model.generate("hello", max_tokens=10, temperature=1.5, seed=seed)

    assert draw(1) == draw(1)
    assert len({draw(seed) for seed in range(5)}) > 1
    assert draw(None) != draw(None)


def test_a_stop_string_cuts(model: Model) -> None:
    text = model.generate("hello", max_tokens=20, ignore_eos=True)
    stop = text[6:8]
    expected = text[: text.index(stop)]
    assert model.generate("hello", max_tokens=20, stop=stop, ignore_eos=True) == expected
    assert model.generate_many(["hello"], max_tokens=20, stop=[stop, "\0"], ignore_eos=True) == [expected]


def test_a_closed_iterator_ends_its_sequence(model: Model) -> None:
    stream = model.stream("hello", max_tokens=100, ignore_eos=True)
    next(stream)
    stream.close()
    model.generate("x", max_tokens=1)
    assert model.counters["running"] == model.counters["waiting"] == 0


def test_an_answer_has_figures_and_can_be_stopped(model: Model) -> None:
    answer = model.stream("hello", max_tokens=100, ignore_eos=True)
    whole = "".join(answer)
    figures = answer.figures
    assert (figures.prompt_tokens, figures.tokens, figures.finish) == (
        len(model.tokenize("hello")),
        100,
        FinishReason.LENGTH,
    )
    assert 0 < figures.first_seconds < figures.seconds
    answer = model.stream("hello", max_tokens=100, ignore_eos=True)
    first = next(answer)
    answer.stop()
    rest = "".join(answer)
    assert whole.startswith(first + rest)
    assert len(first + rest) < len(whole)
    assert answer.figures.stopped
    assert answer.figures.finish is FinishReason.NONE
    stopped = model.stream("hello", max_tokens=100)
    stopped.stop()
    assert list(stopped) == []


def test_events_carry_log_probabilities(model: Model) -> None:
    events = list(model.events("hello", max_tokens=4, logprobs=3, ignore_eos=True))
    assert [event.index for event in events] == [0, 1, 2, 3]
    assert [event.finish for event in events] == [FinishReason.NONE] * 3 + [FinishReason.LENGTH]
    assert all(len(event.top) == 3 and event.logprob == event.top[0][1] <= 0 for event in events)


def test_logits_predict_what_greedy_takes(model: Model) -> None:
    ids = model.tokenize("hello hello hello")
    events = list(model.events(ids, max_tokens=1, ignore_eos=True))
    logits = model.logits(ids)
    assert logits.shape == (len(ids), model.vocab_size)
    assert logits.dtype == np.float32
    assert int(logits[-1].argmax()) == events[0].token


def test_logits_in_chunks_equal_logits_at_once(model: Model) -> None:
    ids = [3 + i % 200 for i in range(100)]  # chunks of 64 logit rows
    assert np.allclose(model.logits(ids)[:30], model.logits(ids[:30]), rtol=0, atol=1e-4)


def test_logits_between_the_steps_of_an_answer(model: Model) -> None:
    expected = model.generate("hello", max_tokens=12)
    stream = model.stream("hello", max_tokens=12)
    first = next(stream)
    model.logits(model.tokenize("something else"))
    assert first + "".join(stream) == expected


def test_threads_share_the_engine(model: Model) -> None:
    prompts = [f"hello {i}" for i in range(6)]
    expected = [model.generate(prompt, max_tokens=8) for prompt in prompts]
    got = [""] * len(prompts)

    def work(index: int) -> None:
        got[index] = model.generate(prompts[index], max_tokens=8)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert got == expected


def test_what_is_out_of_range_is_refused_by_name(model: Model) -> None:
    with pytest.raises(ValueError, match="0 tokens"):
        model.generate([])
    with pytest.raises(ValueError, match="128 tokens; expected 1 to 127"):
        model.generate([3] * 128)
    with pytest.raises(ValueError, match="vocabulary"):
        model.generate([10**6])
    with pytest.raises(SamplingError, match="top_p"):
        model.generate("x", top_p=1.5)
    with pytest.raises(ValueError, match="max_tokens"):
        model.generate("x", max_tokens=0)
    with pytest.raises(ValueError, match="empty"):
        model.generate("x", stop="")
    with pytest.raises(TypeError, match="top_q"):
        model.generate("x", top_q=1)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="129 tokens"):
        model.logits([3] * 129)
    with pytest.raises(BatchError, match="vocabulary"):
        model.logits([3, -1])


def test_a_budget_of_memory_changes_no_answer(path: Path) -> None:
    budget = str(process_bytes(os.getpid()) + 2**30)  # a process that ran other tests holds what they left
    with pytest.raises(BudgetError, match="'much' is not an amount of memory"):
        ostinato.load(path, context=128, memory="much")
    with pytest.raises(CompileError, match="null"):
        ostinato.load(path, backend="null", context=128, memory="1GiB").close()
    with ostinato.load(path, context=128) as free, ostinato.load(path, context=128, memory=budget) as budgeted:
        assert budgeted.generate([3, 4, 5], max_tokens=8) == free.generate([3, 4, 5], max_tokens=8)


def test_what_could_not_be_built_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    stores: list[WeightStore] = []

    def refuse(*words: object) -> None:
        stores.append(words[-1])  # type: ignore[arg-type]
        raise CompileError("no")

    monkeypatch.setattr("ostinato.backends.cpu.executable._build", refuse)
    with opened_with(0.5) as opened:
        with pytest.raises(CompileError):
            Model(opened)
        with pytest.raises(GGUFError, match="is closed"):
            _ = opened.file.nbytes
    with pytest.raises(RuntimeError, match="closed"):
        stores[0].native.hint(np.zeros(1, np.int32))


def test_a_closed_model_says_so(path: Path) -> None:
    model = ostinato.load(path, backend="null", context=32)
    stream = model.stream("hello", max_tokens=20)
    next(stream)
    model.close()
    model.close()
    with pytest.raises(RuntimeError, match="closed"):
        list(stream)
    with pytest.raises(RuntimeError, match="closed"):
        model.generate("hello")
    with pytest.raises(RuntimeError, match="closed"):
        model.logits([3])


@pytest.mark.parametrize("name", ["f32", "f16"])
@pytest.mark.parametrize(
    ("backend", "count"),
    [("reference", 1), pytest.param("reference", 32, marks=pytest.mark.slow), ("cpu", 1), ("cpu", 32)],
)
def test_stories_are_told_as_they_should_be(name: str, backend: str, count: int, data_dir: Path) -> None:
    """Golden ids: the prompt and its greedy continuation, made by another implementation."""
    golden = json.loads((data_dir / "stories260K" / "golden_greedy.json").read_text())
    prompt, expected = golden["prompt_ids"], golden["greedy_ids"]
    path = data_dir / "stories260K" / f"stories260K-{name}.gguf"
    with ostinato.load(path, backend=backend) as model:
        answers = [model.events(prompt, max_tokens=len(expected) - len(prompt), ignore_eos=True) for _ in range(count)]
        for events in zip(*answers, strict=True):
            index = events[0].index
            assert {event.token for event in events} == {expected[len(prompt) + index]}, f"token {index}"
