"""The store's threads under the sanitizers (native/memory/tests/threads.cpp)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.programs import NATIVE, SANITIZERS, compiled, compiler, emit_tables, runs_well

MEMORY = NATIVE / "memory"


@pytest.mark.slow  # the store is compiled
@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_threads_of_a_store(tmp_path: Path, sanitizer: str) -> None:
    sources = [*(p for p in sorted(MEMORY.glob("*.cpp")) if p.stem != "binding"), MEMORY / "tests" / "threads.cpp"]
    flags = ("-std=c++20", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread", *SANITIZERS[sanitizer])
    includes = ("-I", emit_tables(tmp_path), "-I", NATIVE)
    runs_well(compiled([compiler(), *flags, *includes, *sources], tmp_path / "threads"))
