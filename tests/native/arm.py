"""C++ programs for 64-bit ARM, made by a cross-compiler and run in an emulator (Debian: g++-aarch64-linux-gnu
qemu-user-static)."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.programs import NATIVE, emit_tables

COMPILER, EMULATOR = shutil.which("aarch64-linux-gnu-g++"), shutil.which("qemu-aarch64-static")
needed = pytest.mark.skipif(
    COMPILER is None or EMULATOR is None, reason="g++-aarch64-linux-gnu or qemu-user-static is absent"
)
# The flags of kernels.cmake.
LEVELS = {
    "neon": ("-DOSTINATO_LEVEL=neon", "-DOSTINATO_ISA=kNeon", "-march=armv8.2-a+dotprod"),
    "i8mm": ("-DOSTINATO_LEVEL=i8mm", "-DOSTINATO_ISA=kI8mm", "-march=armv8.2-a+dotprod+i8mm"),
}
COMMAND = (
    str(COMPILER), "-std=c++20", "-pthread", "-static", "-fno-math-errno", "-Wno-psabi", "-DOSTINATO_ARM",
    "-I", str(NATIVE),
)  # fmt: skip
Source = tuple[Path, tuple[str, ...]]  # with flags of its own


def kernel_sources() -> list[Source]:
    """The kernels of all ARM levels: sources with their flags."""
    folder = NATIVE / "cpu" / "kernels"
    plain: list[Source] = [
        (folder / f"{stem}.cpp", ("-ffp-contract=off",)) for stem in ("select", "dequantize", "portable")
    ]
    levels: list[Source] = [
        (source, ("-ffp-contract=off", *flags))
        for flags in LEVELS.values()
        for source in sorted((folder / "neon").glob("*.cpp"))
    ]
    return plain + levels


def compile(folder: Path, sources: list[Source], *flags: str) -> list[str]:
    """Objects of all sources, two at a time."""
    emit_tables(folder)

    def compiled(index: int) -> str:
        source, more = sources[index]
        target = str(folder / f"{source.stem}-{index}.o")
        subprocess.run([*COMMAND, *flags, *more, "-I", str(folder), "-c", str(source), "-o", target], check=True)
        return target

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(compiled, range(len(sources))))


def link(objects: list[str], program: Path) -> Path:
    subprocess.run([*COMMAND, *objects, "-o", str(program)], check=True)
    return program


def run(program: Path, *words: str, cpu: str = "max", level: str = "") -> str:
    """What the program prints on one of the emulator's processors; OSTINATO_CPU is `level`."""
    done = subprocess.run(
        [str(EMULATOR), "-cpu", cpu, program, *words], capture_output=True, text=True, timeout=250,
        env={**os.environ, "OSTINATO_CPU": level},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout
