"""Quantised models give the reference's ids wherever its two best logits are further apart than rounding can move them.

Teacher-forced: every machine gets the tokens that the reference chose, as generated rows, so that one difference
cannot grow. The tolerance is stated as a share of the row's spread, since 8-bit activations err in proportion to it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from ostinato.backends.batch import Batch, Span
from ostinato.backends.batch_table import Kind
from ostinato.backends.contract import Executable, Plan
from ostinato.backends.reference import ReferenceBackend
from ostinato.engine.loading import Opened, Options, open_model
from tests.backends.drive import enter, generate
from tests.backends.machines import MACHINES, machine
from tests.support import BUILTIN, ROOT
from tools.tiny_models import write_tiny_model

GOLDEN = ROOT / "tests" / "golden"
PROMPT, ANSWER = 24, 40
ENOUGH = 0.15  # share of rows whose margin must exceed the tolerance: else the test says nothing
# Of the standard deviation of a row's logits. Where rounding makes a router choose another expert, logits jump.
MODELS = {
    "builtin": 0.1,
    "tiny-dense-q8_0": 0.1,
    "tiny-dense-q4_k_m": 0.1,
    "tiny-moe-q8_0": 0.3,
    "tiny-moe-q4_k_m": 0.5,
}


def opened(name: str, folder: Path) -> Opened:
    """A model with quantised weights; Q4_K_M files hold Q4_K and Q6_K."""
    path = BUILTIN
    if name != "builtin":
        about = json.loads(str(np.load(GOLDEN / f"{name}.npz")["about"]))
        path = folder / f"{name}.gguf"
        write_tiny_model(path, about["moe"], about["type"], about["seed"])
    return open_model(path, Options(backend="reference", context=96, max_sequences=4, max_rows=64))


@cache
def wanted(name: str, folder: Path) -> tuple[list[int], list[int], np.ndarray]:
    """The prompt, the reference's greedy answer, and its logits [ANSWER, vocab]."""
    model = opened(name, folder)
    prompt = [(7 * i * i + 3 * i + 11) % model.spec.vocab_size for i in range(PROMPT)]
    executable = ReferenceBackend().compile(model.programs, model.file.tensors, model.plan)
    answer = generate(executable, model.plan, [prompt], ANSWER)[0]
    logits = forced(executable, model.plan, prompt, answer)
    model.file.close()
    return prompt, answer, logits


def forced(executable: Executable, plan: Plan, prompt: list[int], answer: list[int]) -> np.ndarray:
    """Logits of the rows that chose each token of `answer`: the prompt's last row, then generated rows."""
    entered, table = enter(plan, 1, len(prompt))
    executable.submit(Batch([Span(1, Kind.PROMPT, 0, prompt, 1)], [entered], [table], want_logits=True))
    first = executable.collect().outputs["logits"]
    rows = [Span(1, Kind.GENERATED, len(prompt), answer[:-1], len(answer) - 1)]
    executable.submit(Batch(rows, want_logits=True))
    return np.concatenate([first, executable.collect().outputs["logits"]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("margins")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("backend", MACHINES)
def test_identical_ids_where_the_margin_allows(name: str, backend: str, folder: Path) -> None:
    prompt, answer, logits = wanted(name, folder)
    model = replace(opened(name, folder), backend=machine(backend))
    executable = model.compile()
    found = forced(executable, model.plan, prompt, answer)
    executable.close()
    model.file.close()
    best = np.sort(logits, axis=1)
    clear = best[:, -1] - best[:, -2] > MODELS[name] * logits.std(axis=1)
    assert clear.mean() >= ENOUGH
    assert np.array_equal(found.argmax(axis=1)[clear], logits.argmax(axis=1)[clear])
