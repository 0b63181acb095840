"""Every op case on every backend, against the reference."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from ostinato.backends.contract import CompileError, Plan
from ostinato.backends.reference import ReferenceBackend
from ostinato.gguf.types_table import TensorType
from ostinato.model.weights import Tensor
from ostinato.program.builder import Builder
from ostinato.program.ir import Programs
from ostinato.program.ops_table import BY_NAME
from tests.backends.cases import BLOCK_CASES, CASES, MemoryTensor, OpCase, nmse, run_case
from tests.backends.levels import allowed
from tests.backends.machines import CUDA_HOST, MACHINES, machine
from tests.backends.support import PATH, claims, render, variant

NAMES = {case.name: case for case in CASES}


@cache
def wanted(name: str) -> list[np.ndarray]:
    return run_case(NAMES[name], ReferenceBackend())


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_machines_agree_with_the_reference(case: OpCase, name: str) -> None:
    backend = machine(name)
    if (CUDA_HOST if name == "cuda" else name, *variant(case)) not in claims():
        lacking = variant(case)[1] if case in BLOCK_CASES else None
        with pytest.raises(CompileError, match=lacking):
            run_case(case, backend)
        return
    for step, (found, reference) in enumerate(zip(run_case(case, backend), wanted(case.name), strict=True)):
        assert np.isfinite(found).all()
        assert nmse(found, reference) <= allowed(case, backend), f"step {step}"


def test_the_support_table_is_what_it_claims() -> None:
    assert PATH.read_text() == render(claims()), "run python -m tests.backends.support"


def test_names_are_unique() -> None:
    assert len(NAMES) == len(CASES)


def test_every_op_has_a_case() -> None:
    used = {i.op for case in CASES for i in case.programs()[0].prefill.instructions}
    assert used == set(BY_NAME) - {"sample"}, "sample has tests of its own: test_sample.py"


@pytest.mark.parametrize("backend", ["reference", *MACHINES])
def test_a_type_that_a_backend_lacks_is_named(backend: str) -> None:
    table = MemoryTensor("table", TensorType.I32, (8, 256), np.zeros(8 * 1024, np.uint8))
    b = Builder({"table": table})
    out = b.add("select", b.add("embed", weights=(Tensor("table"),)))
    program = b.program("lacking", {"logits": out}, 256)
    with pytest.raises(CompileError, match=r"table.*I32"):
        machine(backend).compile(Programs(program, program), {"table": table}, Plan(blocks=1))
