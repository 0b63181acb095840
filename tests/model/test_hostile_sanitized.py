"""Steps of every model that one change makes and that compiles, under the sanitizers of addresses and of undefined
behaviour: a program that `verify` lets through does not read or write outside the executor's buffers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import ROOT

FLAGS = "-O1 -g1 -fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=all -Wno-psabi"
RUNTIMES = ("libasan.so", "libubsan.so", "libstdc++.so")  # must be there before Python is
OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "OSTINATO_CPU": "portable",
    "OPENBLAS_NUM_THREADS": "1",
}
PARTS = 2


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The native module with sanitizers, at the portable level (its sources are those of the others)."""
    cmake = shutil.which("cmake", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if cmake is None or shutil.which("g++") is None:
        pytest.skip("cmake or g++ is absent")
    folder = tmp_path_factory.mktemp("sanitized")
    processor = ("-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=generic")  # has no other level
    definitions = (f"-DPython_EXECUTABLE={sys.executable}", "-DCMAKE_BUILD_TYPE=None", f"-DCMAKE_CXX_FLAGS={FLAGS}")
    subprocess.run([cmake, "-S", ROOT, "-B", folder, *processor, *definitions], check=True, capture_output=True)
    subprocess.run([cmake, "--build", folder, "--target", "_cpu", "-j2"], check=True, capture_output=True)
    (built,) = folder.glob("native/cpu/_cpu.*.so")
    return built


@pytest.mark.slow
@pytest.mark.timeout(1800)  # the executor is compiled; then thousands of models
def test_no_step_leaves_its_buffers(module: Path) -> None:
    found = [subprocess.check_output(["g++", f"-print-file-name={name}"], text=True).strip() for name in RUNTIMES]
    if not all(map(os.path.isabs, found)):
        pytest.skip("g++ has no runtime of the sanitizers")
    environment = os.environ | OPTIONS | {"LD_PRELOAD": " ".join(found)}

    def share(part: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tests.model.step", str(part), str(PARTS), str(module)]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1200)

    with ThreadPoolExecutor(PARTS) as pool:
        for done in pool.map(share, range(PARTS)):
            assert done.returncode == 0, done.stderr[-6000:]
            assert int(done.stdout) > 1000
