"""Random blocks, infinite and NaN scales among them, through every kernel under the address and undefined-behaviour
sanitizers (native/cpu/tests/kernels_fuzz.cpp)."""

from __future__ import annotations

import os
import platform
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ostinato.gguf.blocks import FORMATS
from tests.programs import NATIVE, SANITIZERS, compiled, compiler, emit_tables

KERNELS = NATIVE / "cpu" / "kernels"
FLAGS = (
    "-std=c++20", "-O1", *SANITIZERS["address"], "-fno-math-errno",
    "-ffp-contract=off", "-Wno-psabi",
)  # fmt: skip
AVX2 = ("-mavx2", "-mfma", "-mf16c")
AVX512 = (*AVX2, "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni")
AMX = (*AVX512, "-mavx512bf16", "-mamx-tile", "-mamx-int8", "-mamx-bf16")
EMULATED = (*AMX, "-DOSTINATO_AMX_EMULATED")
ON_X86 = platform.machine() in ("x86_64", "AMD64")
FOLDERS = {"": (), **({"avx2": AVX2, "avx512": AVX512, "amx": AMX} if ON_X86 else {})}


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = emit_tables(tmp_path_factory.mktemp("fuzz"))
    common = (compiler(), *FLAGS, f"-I{NATIVE}", f"-I{folder}", *(["-DOSTINATO_X86"] if ON_X86 else []))
    jobs: dict[Path, tuple[str | Path, ...]] = {
        folder / f"{name}-{source.stem}.o": (*common, *flags, "-c", source)
        for name, flags in FOLDERS.items()
        for source in (KERNELS / name).glob("*.cpp")
    }
    for source in (*(KERNELS / "amx").glob("*.cpp"), KERNELS.parent / "tests" / "tiles.cpp") if ON_X86 else ():
        jobs[folder / f"emulated-{source.stem}.o"] = (*common, *EMULATED, "-c", source)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda out: compiled(jobs[out], out), jobs))
    main = KERNELS.parent / "tests" / "kernels_fuzz.cpp"
    return compiled([*common, main, *jobs], folder / "fuzz")


@pytest.mark.slow
@pytest.mark.timeout(900)  # all kernels are compiled
@pytest.mark.parametrize("seed", range(1, 4))
def test_levels_agree_and_nothing_is_out_of_bounds(fuzzer: Path, seed: int) -> None:
    done = subprocess.run([fuzzer, str(seed), "40"], timeout=280, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) == 40 * len(FORMATS)
