"""C++ programs that tests compile and run: the generated headers, sanitizers, and skips by name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support import ROOT

NATIVE = ROOT / "native"
SANITIZERS = {
    "thread": ("-fsanitize=thread",),
    "address": ("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
}


def compiler() -> str:
    """The system's. Skips where there is none."""
    name = os.environ.get("CXX", "g++")
    if shutil.which(name) is None:
        pytest.skip(f"{name} is absent")
    return name


def emit_tables(folder: Path) -> Path:
    """The folder, to be included from: ostinato/tables.h and ostinato/grids.h are in it."""
    made = folder / "ostinato"
    headers: list[str | Path] = ["--cpp", made / "tables.h", "--grids", made / "grids.h"]
    subprocess.run([sys.executable, ROOT / "tools/emit.py", *headers], check=True)
    return folder


def compiled(command: Sequence[str | Path], out: Path) -> Path:
    """What the compiler writes to `out`. Skips where the system lacks a sanitizer's runtime."""
    done = subprocess.run([*command, "-o", out], capture_output=True, text=True)
    if "cannot find" in done.stderr and "san" in done.stderr:
        pytest.skip("the compiler has no runtime of this sanitizer")
    assert done.returncode == 0, done.stderr[-4000:]
    return out


def runs_well(program: Path, seconds: float = 200) -> None:
    """It ends with "ok". Its instruction level is its own choice."""
    environment = {name: value for name, value in os.environ.items() if name != "OSTINATO_CPU"}
    done = subprocess.run([program], capture_output=True, text=True, timeout=seconds, env=environment)
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("ThreadSanitizer cannot run under this kernel's address layout")
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr[-4000:]
