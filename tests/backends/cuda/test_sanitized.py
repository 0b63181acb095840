"""The persistent scenarios under ThreadSanitizer and AddressSanitizer (with UBSan).

A sanitizer's runtime must be in a process before anything else: so a fresh Python runs them, with the runtime
preloaded. Python itself is not instrumented: a report can only come from the kernels or their host implementation.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.backends.cuda.build import COMPILER, build
from tests.backends.cuda.scenarios import SCENARIOS

ROOT = Path(__file__).resolve().parents[3]
RUNTIMES = {"tsan": "libtsan.so", "asan": "libasan.so"}
OPTIONS = {
    "TSAN_OPTIONS": "halt_on_error=1:exitcode=66:report_signal_unsafe=0",
    "ASAN_OPTIONS": "halt_on_error=1:exitcode=66:detect_leaks=0",  # CPython itself keeps memory to the end
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "OPENBLAS_NUM_THREADS": "1",
}


def runtime(sanitizer: str) -> str:
    """Path of the compiler's shared runtime; skips where it has none."""
    command = [COMPILER, f"-print-file-name={RUNTIMES[sanitizer]}"]
    path = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    if not os.path.isabs(path):
        pytest.skip(f"{COMPILER} has no {RUNTIMES[sanitizer]}")
    return os.path.realpath(path)


@pytest.mark.parametrize("sanitizer", ["tsan", pytest.param("asan", marks=pytest.mark.slow)])
def test_scenarios_are_clean(sanitizer: str) -> None:
    preload = runtime(sanitizer)
    build(sanitizer)
    done = subprocess.run(
        [sys.executable, "-m", "tests.backends.cuda.scenarios", sanitizer],
        cwd=ROOT, env=os.environ | OPTIONS | {"LD_PRELOAD": preload}, capture_output=True, text=True, timeout=280,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stdout.split() == [scenario.__name__ for scenario in SCENARIOS]
