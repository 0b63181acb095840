"""Random blocks, infinite and NaN scales among them, through every kernel under the address and undefined-behaviour
sanitizers (native/cpu/tests/kernels_fuzz.cpp)."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ostinato.gguf.blocks import FORMATS
from tests.support import ROOT

KERNELS = ROOT / "native" / "cpu" / "kernels"
FLAGS = (
    "-std=c++20", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-math-errno",
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
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is missing")
    folder = tmp_path_factory.mktemp("fuzz")
    tables = folder / "generated" / "ostinato"
    emit = ("tools/emit.py", "--cpp", tables / "tables.h", "--grids", tables / "grids.h")
    subprocess.run([sys.executable, *emit], check=True, cwd=ROOT)
    common = (*FLAGS, f"-I{ROOT / 'native'}", f"-I{tables.parent}", *(["-DOSTINATO_X86"] if ON_X86 else []))
    jobs: dict[Path, tuple[str | Path, ...]] = {
        folder / f"{name}-{source.stem}.o": (compiler, *common, *flags, "-c", source)
        for name, flags in FOLDERS.items()
        for source in (KERNELS / name).glob("*.cpp")
    }
    for source in (*(KERNELS / "amx").glob("*.cpp"), KERNELS.parent / "tests" / "tiles.cpp") if ON_X86 else ():
        jobs[folder / f"emulated-{source.stem}.o"] = (compiler, *common, *EMULATED, "-c", source)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda out: subprocess.run([*jobs[out], "-o", out], check=True), jobs))
    main = KERNELS.parent / "tests" / "kernels_fuzz.cpp"
    subprocess.run([compiler, *common, main, *jobs, "-o", folder / "fuzz"], check=True)
    return folder / "fuzz"


@pytest.mark.slow
@pytest.mark.timeout(900)  # all kernels are compiled
@pytest.mark.parametrize("seed", range(1, 4))
def test_levels_agree_and_nothing_is_out_of_bounds(fuzzer: Path, seed: int) -> None:
    done = subprocess.run([fuzzer, str(seed), "40"], timeout=280, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) == 40 * len(FORMATS)
