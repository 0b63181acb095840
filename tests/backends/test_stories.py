"""A real trained model (stories260K): the golden greedy tokens and logits of an independent NumPy reference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ostinato.engine.loading import Opened, Options, open_model
from tests.backends.drive import generate, prompt_logits

OPTIONS = {"context": 272, "max_sequences": 32, "max_rows": 256, "max_logit_rows": 256}


@pytest.fixture(scope="module")
def golden(data_dir: Path) -> Any:
    return json.loads((data_dir / "stories260K" / "golden_greedy.json").read_text())


def opened(data_dir: Path, kind: str, backend: str) -> Opened:
    return open_model(data_dir / "stories260K" / f"stories260K-{kind}.gguf", Options(backend=backend, **OPTIONS))


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("kind", ["f32", "f16"])
def test_golden_greedy_ids(data_dir: Path, golden: Any, kind: str, backend: str) -> None:
    model = opened(data_dir, kind, backend)
    wanted = golden["greedy_ids"][1:]
    found = generate(model.compile(), model.plan, [golden["prompt_ids"]], len(wanted))
    assert found == [wanted]


@pytest.mark.parametrize("kind", ["f32", "f16"])
def test_golden_greedy_ids_thirty_two_at_once(data_dir: Path, golden: Any, kind: str) -> None:
    model = opened(data_dir, kind, "cpu")
    wanted = golden["greedy_ids"][1:]
    found = generate(model.compile(), model.plan, [golden["prompt_ids"]] * 32, len(wanted))
    assert found == [wanted] * 32


def test_reference_thirty_two_at_once(data_dir: Path, golden: Any) -> None:
    model = opened(data_dir, "f32", "reference")
    wanted = golden["greedy_ids"][1:33]
    assert generate(model.compile(), model.plan, [golden["prompt_ids"]] * 32, 32) == [wanted] * 32


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_golden_logits(data_dir: Path, golden: Any, backend: str) -> None:
    model = opened(data_dir, "f32", backend)
    wanted = {int(p): np.array(row, np.float32) for p, row in golden["logits_f32_at_pos"].items()}
    tokens = golden["greedy_ids"][: max(wanted) + 1]
    found = prompt_logits(model.compile(), model.plan, tokens, 256)
    for position, row in wanted.items():
        np.testing.assert_allclose(found[position], row, atol=2e-4, rtol=1e-4)
