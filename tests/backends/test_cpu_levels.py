"""Every op case and every sampling setting at the instruction levels that are not chosen by themselves.

But for the cases that only bring one more block format: tests/native/test_kernels.py has those at every level.
"""

from __future__ import annotations

import numpy as np
import pytest

from ostinato import _cpu
from ostinato.backends.cpu import CpuBackend
from ostinato.backends.reference import ReferenceBackend
from tests.backends.cases import BLOCK_CASES, CASES, OpCase, nmse, run_case
from tests.backends.levels import LEVELS, allowed, use_level
from tests.backends.test_cases import wanted
from tests.backends.test_sample import SETTINGS, run

CHOSEN = [case for case in CASES if case not in BLOCK_CASES]
OTHERS = [name for name in LEVELS if name != _cpu.level()]  # test_cases.py runs the default


@pytest.mark.parametrize("level", OTHERS)
@pytest.mark.parametrize("case", CHOSEN, ids=lambda case: case.name)
def test_cases(case: OpCase, level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    backend, name = CpuBackend(), use_level(level, monkeypatch)
    assert backend.probe().detail["instructions"] == name
    for found, reference in zip(run_case(case, backend), wanted(case.name), strict=True):
        assert nmse(found, reference) <= allowed(case, backend)


@pytest.mark.parametrize("level", OTHERS)
def test_draws(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use_level(level, monkeypatch)
    settings = list(SETTINGS.values())
    for found, reference in zip(run(CpuBackend(), settings), run(ReferenceBackend(), settings), strict=True):
        np.testing.assert_array_equal(found.tokens, reference.tokens)
        np.testing.assert_array_equal(found.top_ids, reference.top_ids)
