"""The executor and its pool as C++ programs: under ThreadSanitizer (races, lost tasks, allocations of a decode step),
and (slow) the sanitizers of addresses and undefined behaviour, and cross-compiled for 64-bit ARM."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.native import arm
from tests.support import ROOT

NATIVE = ROOT / "native"
SANITIZERS = {
    "thread": ("-fsanitize=thread",),
    "address": ("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
}
SLOW = (pytest.mark.slow, pytest.mark.timeout(900))  # minutes of compiling
PORTABLE = ("-ffp-contract=fast", "-Wno-psabi", "-DOSTINATO_LEVEL=portable", "-DOSTINATO_ISA=kPortable")
SOURCES = (
    *(p for p in sorted((NATIVE / "cpu").glob("*.cpp")) if p.stem != "binding"),
    *sorted((NATIVE / "cpu" / "ops").glob("*.cpp")),
    *(NATIVE / "cpu" / "kernels" / f"{stem}.cpp" for stem in ("select", "dequantize", "portable")),
)


def emit_tables(folder: Path) -> None:
    generated = folder / "ostinato"
    headers: list[str | Path] = ["--cpp", generated / "tables.h", "--grids", generated / "grids.h"]
    subprocess.run([sys.executable, ROOT / "tools/emit.py", *headers], check=True)


@dataclass(frozen=True)
class Compiler:
    """g++ with a sanitizer; objects go to `folder`, where the tables are."""

    sanitizer: str
    folder: Path

    @property
    def command(self) -> tuple[str, ...]:
        return ("g++", "-std=c++20", "-O1", "-g", *SANITIZERS[self.sanitizer], "-pthread")

    def compile(self, source: Path, *more: str) -> Path:
        target = self.folder / f"{source.parent.name}_{source.stem}.o"
        includes = ("-I", str(self.folder), "-I", str(NATIVE))
        command: list[str] = [*self.command, *more, *includes, "-c", str(source), "-o", str(target)]
        built = subprocess.run(command, capture_output=True, text=True)
        assert built.returncode == 0, built.stderr[-4000:]
        return target

    def link(self, objects: list[Path], name: str) -> Path:
        command = [*self.command, *map(str, objects), "-o", str(self.folder / name)]
        built = subprocess.run(command, capture_output=True, text=True)
        if "cannot find" in built.stderr and "san" in built.stderr:
            pytest.skip(f"g++ has no runtime of the {self.sanitizer} sanitizer")
        assert built.returncode == 0, built.stderr[-4000:]
        return self.folder / name


def run(program: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OSTINATO_CPU"}
    done = subprocess.run([program], capture_output=True, text=True, timeout=200, env=environment)
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("ThreadSanitizer cannot run under this kernel's address layout")
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr[-4000:]


@pytest.fixture(scope="module", params=["thread", pytest.param("address", marks=SLOW)])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Compiler, list[Path]]:
    """The executor at portable level, two compilers at a time."""
    if shutil.which("g++") is None:
        pytest.skip("g++ is absent")
    compiler = Compiler(request.param, tmp_path_factory.mktemp(request.param))
    emit_tables(compiler.folder)
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(compiler.compile, SOURCES))
    return compiler, [*made, compiler.compile(NATIVE / "cpu" / "isa" / "vectors.cpp", *PORTABLE)]


@pytest.mark.parametrize("test", ["pool_test", "executor_test", "halves_test"])
def test_sanitized(built: tuple[Compiler, list[Path]], test: str) -> None:
    compiler, objects = built
    run(compiler.link([*objects, compiler.compile(NATIVE / "cpu" / "tests" / f"{test}.cpp")], test))


@arm.needed
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_on_arm(tmp_path: Path) -> None:
    """Every level of 64-bit ARM in an emulator."""
    kernels = arm.kernel_sources()
    shared = [(source, ()) for source in SOURCES if source not in dict(kernels)]
    vectors = (NATIVE / "cpu" / "isa" / "vectors.cpp", PORTABLE)
    tests = ("pool_test", "executor_test", "halves_test")
    mains = [(NATIVE / "cpu" / "tests" / f"{test}.cpp", ()) for test in tests]
    objects = arm.compile(tmp_path, [*kernels, *shared, vectors, *mains], "-O2")
    shared_objects, main_objects = objects[: -len(tests)], objects[-len(tests) :]
    for test, main in zip(tests, main_objects, strict=True):
        program = arm.link([*shared_objects, main], tmp_path / test)
        for level in ("portable", *arm.LEVELS):
            assert arm.run(program, level=level) == "ok\n"
