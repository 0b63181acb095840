"""The executor and its pool as C++ programs: under ThreadSanitizer (races, lost tasks, allocations of a decode step),
and (slow) cross-compiled for 64-bit ARM."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import ROOT

NATIVE = ROOT / "native"
FLAGS = ("-std=c++20", "-O1", "-g", "-fsanitize=thread", "-pthread")
PORTABLE = ("-ffp-contract=fast", "-Wno-psabi", "-DOSTINATO_LEVEL=portable", "-DOSTINATO_ISA=kPortable")
SOURCES = (
    *(p for p in sorted((NATIVE / "cpu").glob("*.cpp")) if p.stem != "binding"),
    *sorted((NATIVE / "cpu" / "ops").glob("*.cpp")),
    *(NATIVE / "cpu" / "kernels" / f"{stem}.cpp" for stem in ("select", "dequantize", "portable")),
)


def compile_object(source: Path, folder: Path, *more: str) -> Path:
    target = folder / f"{source.parent.name}_{source.stem}.o"
    includes = ("-I", str(folder), "-I", str(NATIVE))
    command = ["g++", *FLAGS, *more, *includes, "-c", str(source), "-o", str(target)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-4000:]
    return target


def link(objects: list[Path], program: Path) -> Path:
    built = subprocess.run(["g++", *FLAGS, *map(str, objects), "-o", str(program)], capture_output=True, text=True)
    if "cannot find" in built.stderr and "tsan" in built.stderr:
        pytest.skip("g++ has no ThreadSanitizer runtime")
    assert built.returncode == 0, built.stderr[-4000:]
    return program


def run(program: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OSTINATO_CPU"}
    done = subprocess.run([program], capture_output=True, text=True, timeout=200, env=environment)
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("ThreadSanitizer cannot run under this kernel's address layout")
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr[-4000:]


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The executor at portable level, two compilers at a time."""
    if shutil.which("g++") is None:
        pytest.skip("g++ is absent")
    folder = tmp_path_factory.mktemp("cpu")
    subprocess.run([sys.executable, ROOT / "tools/emit.py", "--cpp", folder / "ostinato/tables.h"], check=True)
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda source: compile_object(source, folder), SOURCES))
    return [*made, compile_object(NATIVE / "cpu" / "isa" / "vectors.cpp", folder, *PORTABLE)]


def build(objects: list[Path], test: str) -> Path:
    folder = objects[0].parent
    return link([*objects, compile_object(NATIVE / "cpu" / "tests" / f"{test}.cpp", folder)], folder / test)


def test_pool(objects: list[Path]) -> None:
    run(build(objects, "pool_test"))


def test_executor(objects: list[Path]) -> None:
    run(build(objects, "executor_test"))


@pytest.mark.slow
@pytest.mark.parametrize("test", ["pool_test", "executor_test"])
def test_on_arm(test: str, tmp_path: Path) -> None:
    """The portable level, by a cross-compiler, in an emulator (Debian: g++-aarch64-linux-gnu qemu-user-static)."""
    compiler, emulator = shutil.which("aarch64-linux-gnu-g++"), shutil.which("qemu-aarch64-static")
    if compiler is None or emulator is None:
        pytest.skip("g++-aarch64-linux-gnu or qemu-user-static is absent")
    subprocess.run([sys.executable, ROOT / "tools/emit.py", "--cpp", tmp_path / "ostinato/tables.h"], check=True)
    flags = [compiler, "-std=c++20", "-O2", "-pthread", "-static", "-I", tmp_path, "-I", NATIVE]
    vectors = tmp_path / "vectors.o"
    subprocess.run([*flags, *PORTABLE, "-c", NATIVE / "cpu" / "isa" / "vectors.cpp", "-o", vectors], check=True)
    program = tmp_path / test
    subprocess.run([*flags, *SOURCES, NATIVE / "cpu" / "tests" / f"{test}.cpp", vectors, "-o", program], check=True)
    done = subprocess.run([emulator, "-cpu", "max", program], capture_output=True, text=True, timeout=250)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr[-4000:]
