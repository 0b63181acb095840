"""The CPU backend at one of its instruction levels, and what a case may differ by there.

`amx-emulated` is the level `amx` on tiles that are emulated (native/cpu/kernels/amx), for machines without them.
"""

from __future__ import annotations

import pytest

import ostinato
from ostinato import _cpu
from ostinato.backends.contract import Backend
from tests.backends.opcase import BFLOATS, OpCase

EMULATED = "amx-emulated"
LEVELS = [*_cpu.levels(), *([EMULATED] if "avx512" in _cpu.levels() else [])]


def use_level(name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Has the CPU backend run at this level, and returns what it calls it."""
    if name == EMULATED:
        module = pytest.importorskip("ostinato._cpu_amx_test", reason="emulated tiles are part of development builds")
        if "amx" not in module.levels():
            pytest.skip("tiles are emulated with AVX-512's bf16, which this machine lacks")
        monkeypatch.setattr(ostinato, "_cpu", module)
        name = "amx"
    monkeypatch.setenv("OSTINATO_CPU", name)
    return name


def allowed(case: OpCase, backend: Backend) -> float:
    """The case's tolerance; where prompt rows meet F16 or BF16 weights in bf16, that of such products."""
    in_bfloats = backend.probe().detail.get("instructions") == "amx" and "F16" in case.name.upper()
    return max(case.nmse, 3 * BFLOATS) if in_bfloats else case.nmse
