"""The executor and its pool as C++ programs: under ThreadSanitizer (races, lost tasks, allocations of a decode step),
and (slow) the sanitizers of addresses and undefined behaviour, and cross-compiled for 64-bit ARM."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.native import arm
from tests.programs import NATIVE, SANITIZERS, compiled, compiler, emit_tables, runs_well

SLOW = (pytest.mark.slow, pytest.mark.timeout(900))  # minutes of compiling
PORTABLE = ("-ffp-contract=fast", "-Wno-psabi", "-DOSTINATO_LEVEL=portable", "-DOSTINATO_ISA=kPortable")
SOURCES = (
    *(p for p in sorted((NATIVE / "cpu").glob("*.cpp")) if p.stem != "binding"),
    *sorted((NATIVE / "cpu" / "ops").glob("*.cpp")),
    *(p for p in sorted((NATIVE / "memory").glob("*.cpp")) if p.stem != "binding"),
    *(NATIVE / "cpu" / "kernels" / f"{stem}.cpp" for stem in ("select", "dequantize", "portable")),
)


@dataclass(frozen=True)
class Compiler:
    """With a sanitizer; objects go to `folder`, where the tables are."""

    sanitizer: str
    folder: Path

    @property
    def command(self) -> tuple[str, ...]:
        return (compiler(), "-std=c++20", "-O1", "-g", *SANITIZERS[self.sanitizer], "-pthread")

    def compile(self, source: Path, *more: str) -> Path:
        includes = ("-I", self.folder, "-I", NATIVE)
        target = self.folder / f"{source.parent.name}_{source.stem}.o"
        return compiled([*self.command, *more, *includes, "-c", source], target)

    def link(self, objects: list[Path], name: str) -> Path:
        return compiled([*self.command, *objects], self.folder / name)


@pytest.fixture(scope="module", params=["thread", pytest.param("address", marks=SLOW)])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Compiler, list[Path]]:
    """The executor at portable level, two compilers at a time."""
    with_sanitizer = Compiler(request.param, emit_tables(tmp_path_factory.mktemp(request.param)))
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(with_sanitizer.compile, SOURCES))
    return with_sanitizer, [*made, with_sanitizer.compile(NATIVE / "cpu" / "isa" / "vectors.cpp", *PORTABLE)]


@pytest.mark.parametrize("test", ["pool_test", "executor_test", "halves_test"])
def test_sanitized(built: tuple[Compiler, list[Path]], test: str) -> None:
    with_sanitizer, objects = built
    main = with_sanitizer.compile(NATIVE / "cpu" / "tests" / f"{test}.cpp")
    runs_well(with_sanitizer.link([*objects, main], test))


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
