"""The machines that tests compare with the reference: every backend that computes, and CUDA C++ on this processor.

`cuda-host` is the CUDA backend with its kernels compiled for the host (tests/backends/cuda): the same sources, no card.
A machine that is not here is skipped by name, with its probe's reason.
"""

from __future__ import annotations

from functools import cache

import pytest

from ostinato.backends.choose import BACKENDS, look
from ostinato.backends.contract import Backend

CUDA_HOST = "cuda-host"
MACHINES = (*(name for name in BACKENDS if name not in ("reference", "null")), CUDA_HOST)


@cache
def machine(name: str) -> Backend:
    """The backend called `name`, one for all tests (it keeps compiled kernels); skips where it is not available."""
    if name == CUDA_HOST:
        from tests.backends.cuda.host_driver import HostCuda

        return HostCuda()
    backend = BACKENDS[name]()
    probe = look(backend)
    if not probe.available:
        pytest.skip(f"{name} is not available here: {probe.device}")
    return backend
