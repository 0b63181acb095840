"""The name "cuda" stands for the backend on kernels compiled for the host, where a test asks for it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostinato.backends.choose import BACKENDS
from tests.backends.cuda.build import COMPILER
from tests.backends.cuda.host_driver import HostCuda


@pytest.fixture(scope="module")
def host_cuda() -> Iterator[HostCuda]:
    """All drivers that were opened must be closed in the end."""
    cuda = HostCuda()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKENDS, "cuda", lambda: cuda)  # type: ignore[arg-type]
        yield cuda
    assert all(driver.closed for driver in cuda.drivers)


@pytest.fixture(scope="session")
def stand_in_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a libcuda.so.1 lies that stands in for NVIDIA's (fake_driver.cpp)."""
    folder = tmp_path_factory.mktemp("driver")
    source = Path(__file__).parent / "fake_driver.cpp"
    flags = ["-std=c++20", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread"]
    subprocess.run([COMPILER, *flags, "-o", folder / "libcuda.so.1", source, "-ldl"], check=True)
    return folder
