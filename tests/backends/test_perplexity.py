"""The perplexity of trained models on fixed texts moves by at most 0.5 % against the reference: at every instruction
level of the CPU, for prompt rows and for generated rows, whose arithmetic may differ."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from math import exp
from pathlib import Path

import numpy as np
import pytest

from ostinato import _cpu
from ostinato.backends.batch import Batch, Span
from ostinato.backends.batch_table import Kind
from ostinato.backends.contract import Executable, Plan
from ostinato.engine.loading import Options, open_model
from tests.backends.drive import enter
from tests.support import BUILTIN

MOVES = 0.005
STORIES = (
    """Once upon a time there was a little girl named Lily. She liked to play outside in the park with her red ball.
One day the ball rolled down the hill and into the water. Lily was sad, and she did not know what to do. A big
dog saw her cry. The dog jumped into the water and brought the ball back to her. Lily was very happy. She gave
the dog a hug and said thank you. From that day on, Lily and the dog were best friends, and they played
together in the park every day. When it was time to go home, her mom asked what she had done. Lily told her
about the dog and the ball.""",
    """One day, a boy named Tim went to the shop with his dad. He saw a big blue kite and wanted to have it. His dad
said that the kite was too much money. Tim was sad, but he had an idea. He helped his mom in the garden and he
washed the car. After a week he had enough money. Tim and his dad went back to the shop and bought the blue
kite. The wind was strong and the kite went up high in the sky. Tim laughed and ran across the field. He was
proud, because he had worked for it.""",
    """There was a small bird who lived in a tall tree. The bird wanted to fly, but she was scared. Her mother said,
"Do not be afraid. I will be next to you." The little bird looked down at the grass. She moved her wings and
jumped. At first she fell, but then she felt the air under her wings. "I can fly!" she said. She flew over the
trees and over the lake. In the evening she came back to the nest and told her mother about all the things
that she had seen.""",
)
CHATS = (
    ("What is the capital of Italy?", "The capital of Italy is Rome."),
    ("Hello", "Hello! How can I help you today?"),
    ("Which city is the capital of Peru?", "The capital of Peru is Lima."),
    ("What is 12 plus 7?", "12 plus 7 is 19."),
    ("What is 30 minus 4?", "30 minus 4 is 26."),
    ("Who are you?", "I am a very small language model. The Ostinato project trained me on sentences it made itself."),
    ("What is a GGUF file?", "A GGUF file holds a language model: its weights, its vocabulary and its settings."),
    ("Tell me what the capital of Japan is.", "The capital of Japan is Tokyo."),
    ("Thank you", "You are welcome!"),
    ("What is Ostinato?", "Ostinato is an inference engine for GGUF language models."),
    ("Tell me a short story.", "Once upon a time there was a cat who lived in a small house near the sea."),
)
KINDS = (Kind.PROMPT, Kind.GENERATED)


@pytest.fixture(params=["stories260K-q8_0", "stories260K-q4_0", "stories260K-f16", "built-in"])
def model(request: pytest.FixtureRequest) -> Path:
    if request.param == "built-in":
        return BUILTIN
    data_dir: Path = request.getfixturevalue("data_dir")
    return data_dir / "stories260K" / f"{request.param}.gguf"


@pytest.fixture(params=_cpu.levels())
def level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("OSTINATO_CPU", request.param)
    return str(request.param)


def texts(path: Path) -> list[str]:
    """In this model's manner; each is scored alone. (The built-in one never learned to foretell questions: hence its
    high perplexity.)"""
    if path != BUILTIN:
        return list(STORIES)
    form = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n{}<|im_end|>\n"
    return [form.format(question, answer) for question, answer in CHATS]


@cache
def perplexity(path: Path, backend: str, level: str, kind: Kind) -> float:
    """Of every token of the model's texts but their first ones; all rows of one kind. `level` tells calls apart."""
    opened = open_model(path, Options(backend=backend, context=512, max_sequences=1, max_rows=512, max_logit_rows=512))
    executable = opened.compile()
    nlls = []
    for text in texts(path):
        ids = opened.tokenizer.encode(text, add_special=True, parse_special=True)
        logits = np.concatenate(list(_logits(executable, opened.plan, ids[:-1], kind))).astype(np.float64)
        nlls.append(np.logaddexp.reduce(logits, axis=-1) - logits[np.arange(len(ids) - 1), ids[1:]])
    executable.close()
    return exp(np.concatenate(nlls).mean())


def _logits(executable: Executable, plan: Plan, ids: list[int], kind: Kind) -> Iterator[np.ndarray]:
    """float32 [rows, vocab] of the first token, which is always a prompt's, and of the others."""
    slot, table = enter(plan, 0, 1 if kind is Kind.GENERATED else len(ids))
    for span, enters in ((Span(0, Kind.PROMPT, 0, ids[:1], 1), [slot]), (Span(0, kind, 1, ids[1:], len(ids) - 1), [])):
        executable.submit(Batch([span], enters, [table] if enters else [], want_logits=True))
        yield np.array(executable.collect().outputs["logits"])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name.lower())
def test_perplexity_stays(model: Path, level: str, kind: Kind) -> None:
    wanted = perplexity(model, "reference", "", Kind.PROMPT)
    assert 1.5 < wanted < 400, "neither known by heart nor noise"
    assert abs(perplexity(model, "cpu", level, kind) / wanted - 1) <= MOVES
