"""Tests that need an NVIDIA card: `make gpu-test`. Without one they are skipped, with the probe's reason."""

from __future__ import annotations

import pytest

from ostinato.backends.cuda import CudaBackend


@pytest.fixture(scope="session")
def card() -> CudaBackend:
    backend = CudaBackend()
    probe = backend.probe()
    if not probe.available:
        pytest.skip(f"no card to test on: {probe.device}")
    return backend
