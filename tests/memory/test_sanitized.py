"""The store's threads under the sanitizers (native/memory/tests/threads.cpp)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import ROOT

MEMORY = ROOT / "native" / "memory"


SANITIZERS = {
    "thread": ("-fsanitize=thread",),
    "address": ("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
}


@pytest.mark.slow  # the store is compiled
@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_threads_of_a_store(tmp_path: Path, sanitizer: str) -> None:
    if shutil.which("g++") is None:
        pytest.skip("g++ is absent")
    sources = [*(p for p in sorted(MEMORY.glob("*.cpp")) if p.stem != "binding"), MEMORY / "tests" / "threads.cpp"]
    flags = ("-O1", "-g", *SANITIZERS[sanitizer])
    command = ["g++", "-std=c++20", "-Wall", "-Wextra", "-Werror", "-pthread", *flags, "-I", str(ROOT / "native")]
    built = subprocess.run(
        [*command, *map(str, sources), "-o", str(tmp_path / "threads")], capture_output=True, text=True
    )
    if "cannot find" in built.stderr and "san" in built.stderr:
        pytest.skip("g++ has no runtime of this sanitizer")
    assert built.returncode == 0, built.stderr
    done = subprocess.run([tmp_path / "threads"], capture_output=True, text=True, timeout=120)
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("ThreadSanitizer cannot run under this kernel's address layout")
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr[-4000:]
