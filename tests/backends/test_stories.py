"""A real trained model (stories260K): the golden greedy tokens and logits of an independent NumPy reference.

Machines that this processor imitates are slow: they generate the first tokens here, all of them in the slow tier.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ostinato.backends.reference import ReferenceBackend
from ostinato.engine.loading import Opened, Options, open_model
from tests.backends.drive import generate, prompt_logits
from tests.backends.machines import CUDA_HOST, MACHINES, machine

OPTIONS = {"context": 272, "max_sequences": 32, "max_rows": 256, "max_logit_rows": 256}
FIRST = 48  # tokens, of 255
IMITATED = ("webgpu", CUDA_HOST)  # here, by a software adapter and by threads


@pytest.fixture(scope="module")
def golden(data_dir: Path) -> Any:
    return json.loads((data_dir / "stories260K" / "golden_greedy.json").read_text())


def opened(data_dir: Path, kind: str, name: str) -> Opened:
    """The model on a machine or on the reference; skips where it is absent."""
    backend = ReferenceBackend() if name == "reference" else machine(name)
    path = data_dir / "stories260K" / f"stories260K-{kind}.gguf"
    return replace(open_model(path, Options(backend="reference", **OPTIONS)), backend=backend)


def check_greedy(model: Opened, golden: Any, sequences: int, count: int) -> None:
    """`count` tokens of so many sequences at once."""
    wanted = golden["greedy_ids"][1 : count + 1]
    executable = model.compile()
    found = generate(executable, model.plan, [golden["prompt_ids"]] * sequences, len(wanted))
    executable.close()
    assert found == [wanted] * sequences


@pytest.mark.parametrize("name", ["reference", "cpu"])
@pytest.mark.parametrize("kind", ["f32", "f16"])
def test_golden_greedy_ids(data_dir: Path, golden: Any, kind: str, name: str) -> None:
    check_greedy(opened(data_dir, kind, name), golden, 1, 255)


@pytest.mark.parametrize("name", IMITATED)
@pytest.mark.parametrize("kind", ["f32", "f16"])
def test_first_golden_greedy_ids(data_dir: Path, golden: Any, kind: str, name: str) -> None:
    check_greedy(opened(data_dir, kind, name), golden, 1, FIRST)


@pytest.mark.slow
@pytest.mark.parametrize("name", IMITATED)
@pytest.mark.parametrize("kind", ["f32", "f16"])
def test_all_golden_greedy_ids(data_dir: Path, golden: Any, kind: str, name: str) -> None:
    check_greedy(opened(data_dir, kind, name), golden, 1, 255)


@pytest.mark.parametrize("kind", ["f32", "f16"])
def test_golden_greedy_ids_thirty_two_at_once(data_dir: Path, golden: Any, kind: str) -> None:
    check_greedy(opened(data_dir, kind, "cpu"), golden, 32, 255)


@pytest.mark.parametrize(("name", "count"), [("reference", 32), ("webgpu", 4), (CUDA_HOST, 4)])
def test_first_ids_thirty_two_at_once(data_dir: Path, golden: Any, name: str, count: int) -> None:
    check_greedy(opened(data_dir, "f32", name), golden, 32, count)


@pytest.mark.parametrize("name", ["reference", *MACHINES])
def test_golden_logits(data_dir: Path, golden: Any, name: str) -> None:
    model = opened(data_dir, "f32", name)
    wanted = {int(p): np.array(row, np.float32) for p, row in golden["logits_f32_at_pos"].items()}
    tokens = golden["greedy_ids"][: max(wanted) + 1]
    executable = model.compile()
    found = prompt_logits(executable, model.plan, tokens, 256)
    executable.close()
    for position, row in wanted.items():
        np.testing.assert_allclose(found[position], row, atol=2e-4, rtol=1e-4)
