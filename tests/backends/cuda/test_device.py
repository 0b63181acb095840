"""device.py to its last call, without a card: cuda-core on a stand-in for NVIDIA's driver library (fake_driver.cpp).

A library can take libcuda's place only when a process begins: stand_in.py runs in one of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from ostinato.engine.loading import Options, open_model
from tests.backends.cuda.build import build
from tests.backends.cuda.host_driver import HostCuda
from tests.backends.cuda.stand_in import OPTIONS, drawn
from tests.support import ROOT
from tools.tiny_models import write_tiny_model

pytestmark = pytest.mark.skipif(
    find_spec("cuda") is None or find_spec("cuda.core") is None, reason="no cuda-core here: pip install ostinato[cuda]"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    write_tiny_model(path, type="Q8_0")
    return path


def run(stand_in_folder: Path, model: Path, capability: int, share: str = "") -> Any:
    environment = {
        **os.environ, "LD_LIBRARY_PATH": str(stand_in_folder), "OSTINATO_HOST_KERNELS": str(build()),
        "OSTINATO_CAPABILITY": str(capability),
    }  # fmt: skip
    command = [sys.executable, "-m", "tests.backends.cuda.stand_in", str(model), share]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_single_steps_graphs_and_persistent_runs(stand_in_folder: Path, model: Path, host_cuda: HostCuda) -> None:
    """The same tokens as the host driver's; every address, grid and kernel name was in order."""
    found = run(stand_in_folder, model, 75)
    opened = open_model(model, Options(backend="cuda", **OPTIONS))
    executable = opened.compile()
    wanted = drawn(executable, opened.plan)
    executable.close()
    assert found["probe"] == "Stand-in, sm_75, 1 GB"
    assert found["drawn"][0] == wanted[0]
    assert [row[: len(found["drawn"][1][0])] for row in wanted[0][:3]] == found["drawn"][1]
    assert found["drawn"][2] == wanted[2] == wanted[0]


def test_prompt_kernels_are_launched(stand_in_folder: Path, model: Path) -> None:
    """The shipped cubins load and take their arguments; nothing computes them here, so nothing is drawn right."""
    assert run(stand_in_folder, model, 90)["probe"] == "Stand-in, sm_90, 1 GB"


def test_experts_in_a_budget(stand_in_folder: Path, host_cuda: HostCuda, tmp_path: Path) -> None:
    """Pinned memory, the stream of transfers and the events between both, to the last call: the tokens of a card that
    holds everything."""
    path = tmp_path / "experts.gguf"
    write_tiny_model(path, moe=True, type="Q8_0")
    found = run(stand_in_folder, path, 75, "0.5")
    executable = (opened := open_model(path, Options(backend="cuda", **OPTIONS))).compile()
    wanted = drawn(executable, opened.plan)
    executable.close()
    assert found["moves"] > 0
    assert found["drawn"][0] == wanted[0]
    assert [row[: len(found["drawn"][1][0])] for row in wanted[0][:3]] == found["drawn"][1]
    assert found["drawn"][2] == wanted[0]
