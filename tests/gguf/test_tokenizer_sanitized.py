"""Random and corrupted vocabularies under the address and undefined-behaviour sanitizers (native fuzz_test.cpp)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.programs import NATIVE, SANITIZERS, compiled, compiler

SOURCES = NATIVE / "tokenizer"
FLAGS = ("-std=c++20", "-O1", "-g", *SANITIZERS["address"])


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sources = [source for source in SOURCES.glob("*.cpp") if source.name != "binding.cpp"]
    return compiled([compiler(), *FLAGS, f"-I{NATIVE}", *sources], tmp_path_factory.mktemp("fuzz") / "fuzz")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_nothing_reads_or_writes_out_of_bounds(fuzzer: Path, seed: int) -> None:
    done = subprocess.run([fuzzer, str(seed), "4000"], timeout=250, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    accepted = int(done.stdout.split()[0])
    assert accepted > 400, done.stdout  # otherwise encoding would hardly have been tried
