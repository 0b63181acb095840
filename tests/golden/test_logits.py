"""Our logits beside llama.cpp's, kept in tests/golden/*.npz by `tools/golden_llama.py`.

Compared by the normalised mean squared error of each row, sum((ours - theirs)^2) / sum(theirs^2). Measured against a
float64 forward pass, llama.cpp itself is off by at most 2e-13 (F32), 3e-7 (F16: it rounds activations to F16),
2.3e-4 (Q8_0) and 4.3e-4 (Q4_K_M: it rounds activations to 8 bits); engines that round likewise may differ by twice that
and a little more.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ostinato.api import Model
from ostinato.backends.reference import ReferenceBackend
from ostinato.engine.loading import Options, open_model
from tests.backends.machines import MACHINES, machine
from tools.export_builtin import SHIPPED
from tools.tiny_models import weights_digest, write_tiny_model

FOLDER = Path(__file__).parent
BACKENDS = ("reference", *MACHINES)
ROW_ERROR = {"F32": 1e-11, "F16": 2e-6, "Q8_0": 1e-3, "Q4_K_M": 2e-3}


def worst_row(path: Path, backend: str, golden: np.lib.npyio.NpzFile) -> float:
    """The largest normalised mean squared error of the kept rows."""
    assert weights_digest(path) == json.loads(str(golden["about"]))["weights_sha256"], "run tools/golden_llama.py again"
    opened = open_model(path, Options(backend="reference", max_sequences=2))
    made = ReferenceBackend() if backend == "reference" else machine(backend)
    with Model(replace(opened, backend=made)) as model:
        ours = model.logits(golden["tokens"].tolist())[golden["positions"]]
    theirs = golden["logits"]
    return float((((ours - theirs) ** 2).sum(axis=-1) / (theirs**2).sum(axis=-1)).max())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("type", ROW_ERROR)
@pytest.mark.parametrize("kind", ["dense", "moe"])
def test_tiny_models(tmp_path: Path, kind: str, type: str, backend: str) -> None:
    golden = np.load(FOLDER / f"tiny-{kind}-{type.lower()}.npz")
    about = json.loads(str(golden["about"]))
    path = tmp_path / "tiny.gguf"
    write_tiny_model(path, about["moe"], about["type"], about["seed"])
    assert worst_row(path, backend, golden) < ROW_ERROR[type]


@pytest.mark.parametrize("backend", BACKENDS)
def test_builtin_model(backend: str) -> None:
    golden = np.load(FOLDER / "builtin.npz")
    assert worst_row(SHIPPED, backend, golden) < ROW_ERROR["Q8_0"]
