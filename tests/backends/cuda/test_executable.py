"""The whole CUDA backend without a card: kernels compiled for the host, the backend's own executable around them."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from ostinato.backends.reference import ReferenceBackend
from tests.backends.cases import CASES, OpCase, nmse, run_case
from tests.backends.cuda.host_driver import HostCuda

NAMES = {case.name: case for case in CASES}


@cache
def wanted(name: str) -> list[np.ndarray]:
    return run_case(NAMES[name], ReferenceBackend())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_op_cases(case: OpCase) -> None:
    cuda = HostCuda()
    for step, (found, reference) in enumerate(zip(run_case(case, cuda), wanted(case.name), strict=True)):
        assert np.isfinite(found).all()
        assert nmse(found, reference) <= case.nmse, f"step {step}"
    assert cuda.drivers[-1].closed
