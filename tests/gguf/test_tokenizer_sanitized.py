"""Random and corrupted vocabularies under the address and undefined-behaviour sanitizers (native fuzz_test.cpp)."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import ROOT

SOURCES = ROOT / "native" / "tokenizer"
FLAGS = ("-std=c++20", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is missing")
    out = tmp_path_factory.mktemp("fuzz") / "fuzz"
    sources = [source for source in SOURCES.glob("*.cpp") if source.name != "binding.cpp"]
    subprocess.run([compiler, *FLAGS, f"-I{ROOT / 'native'}", *sources, "-o", out], check=True, timeout=280)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_nothing_reads_or_writes_out_of_bounds(fuzzer: Path, seed: int) -> None:
    done = subprocess.run([fuzzer, str(seed), "4000"], timeout=250, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    accepted = int(done.stdout.split()[0])
    assert accepted > 400, done.stdout  # otherwise encoding would hardly have been tried
