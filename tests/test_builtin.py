"""The built-in model answers what is in no part of its training text (tests/tools/test_corpus.py); its experts work.

Reversed questions (which country has this capital) and held-out products it has not learned to that degree: README.md
in tools/ has the figures.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

import numpy as np
import pytest

import ostinato
from ostinato.backends.batch import Batch, Span
from ostinato.backends.batch_table import Kind
from ostinato.backends.reference import ReferenceBackend
from ostinato.engine.loading import Opened, Options, open_model
from tests.backends.drive import enter
from tests.cli.support import ostinato as ostinato_command
from tests.support import BUILTIN
from tools.corpus_unseen import Question, unseen_sums, unseen_wordings

ENOUGH = 0.9  # share of the answers that must be right, word for word
USED, USE = (
    0.8,
    0.005,
)  # share of the experts that must be used; an expert is, if it gets this share of its layer's rows


def prompt(question: Question) -> str:
    return f"<|im_start|>user\n{question.ask}<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def model() -> Iterator[ostinato.Model]:
    with ostinato.load(BUILTIN, "cpu", context=128) as loaded:
        yield loaded


def some(questions: Iterable[Question], kind: str) -> list[Question]:
    """All of a kind, or 300 drawn by chance."""
    found = [question for question in questions if question.kind == kind]
    return random.Random(0).sample(found, min(300, len(found)))


def right(model: ostinato.Model, questions: list[Question]) -> float:
    """The share of right answers, word for word."""
    prompts = [model.tokenize(prompt(question), parse_special=True) for question in questions]
    answers = model.generate_many(prompts, temperature=0, max_tokens=64)
    return sum(answer == q.answer for q, answer in zip(questions, answers, strict=True)) / len(questions)


@pytest.mark.parametrize("kind", ["capital", "project"])
def test_it_understands_wordings_that_it_never_read(model: ostinato.Model, kind: str) -> None:
    assert right(model, some(unseen_wordings(), kind)) >= ENOUGH


@pytest.mark.parametrize("kind", ["plus", "minus"])
def test_it_does_sums_that_it_never_read(model: ostinato.Model, kind: str) -> None:
    assert right(model, some(unseen_sums(), kind)) >= ENOUGH


def expert_rows(opened: Opened, texts: Iterable[str]) -> np.ndarray:
    """Rows that the reference sends to each expert, [layers, experts]."""
    executable = ReferenceBackend().compile(opened.programs, opened.file.tensors, opened.plan)
    routes = [i for i in opened.programs.prefill.instructions if i.op == "route"]
    experts = opened.file.require("llama.expert_count", int)
    counts = np.zeros((len(routes), experts), np.int64)
    for text in texts:
        ids = opened.tokenizer.encode(text, parse_special=True)
        entered, table = enter(opened.plan, 1, len(ids))
        executable.submit(Batch([Span(1, Kind.PROMPT, 0, ids, 1)], [entered], [table]))
        executable.collect()
        for layer, route in enumerate(routes):
            counts[layer] += np.bincount(executable.trace[route.outputs[0]].ravel(), minlength=experts)
    return counts


def test_its_experts_are_used() -> None:
    """Over the prompts of questions that it never read, with their answers."""
    questions = [*list(unseen_wordings())[::60], *list(unseen_sums())[::60]]
    opened = open_model(BUILTIN, Options(backend="reference", context=128, max_rows=128))
    counts = expert_rows(opened, (prompt(question) + question.answer for question in questions))
    opened.file.close()
    assert counts.shape == (4, 8)
    shares = counts / counts.sum(axis=1, keepdims=True)
    assert (shares >= USE).mean() >= USED


def test_the_command_says_what_the_model_says() -> None:
    done = ostinato_command("run", "What is the capital of France?", "--backend", "cpu")
    assert done.stdout == "The capital of France is Paris.\n"
