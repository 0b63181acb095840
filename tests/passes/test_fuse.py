"""Fusion keeps what a program means, and leaves alone what others read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ostinato.backends.contract import Backend
from ostinato.backends.cpu import CpuBackend
from ostinato.backends.reference import ReferenceBackend
from ostinato.gguf.types_table import TensorType
from ostinato.model.kinds_table import Activation
from ostinato.passes.fuse import fuse
from ostinato.program.builder import Builder
from ostinato.program.ir import Program, Programs
from ostinato.program.verify import verify
from tests.backends.opcase import OpCase, Weights, run_case

F32, Q4_K = TensorType.F32, TensorType.Q4_K


def feed_forward(kind: TensorType = F32, scale: float = 1.0, turned: bool = False, gate: int = 512) -> OpCase:
    """x + scale x down . glu(gate . x, up . x), with a bias on up; `turned`: the product is what is added to."""

    def build(b: Builder, w: Weights, x: str) -> str:
        up = b.add("linear", x, weights=(w.normal("up", (512, 256), kind), w.normal("b", (512,), F32)))
        gates = b.add("linear", x, weights=(w.normal("gate", (gate, 256), kind), None))
        inner = b.add("glu", gates, up, act=Activation.SILU)
        down = b.add("linear", inner, weights=(w.normal("down", (256, 512), kind), None))
        return b.add("add", *((down, x) if turned else (x, down)), scale=scale)

    return OpCase(f"feed-forward {kind.name}", 256, build)


def ops(program: Program) -> list[str]:
    return [i.op for i in program.instructions]


def fused(case: OpCase) -> Program:
    programs, tensors = case.programs()
    program = fuse(programs.prefill)
    verify(program, tensors)
    return program


@pytest.mark.parametrize("turned", [False, True])
def test_a_feed_forward_becomes_two_instructions(turned: bool) -> None:
    program = fused(feed_forward(turned=turned))
    assert ops(program) == ["embed", "gated", "linear", "select"]
    assert program.instructions[2].inputs == (program.instructions[1].outputs[0], program.instructions[0].outputs[0])


def test_a_scaled_sum_stays() -> None:
    assert ops(fused(feed_forward(scale=0.5))) == ["embed", "gated", "linear", "add", "select"]


def test_one_gate_for_the_row_stays() -> None:
    assert ops(fused(feed_forward(gate=1))) == ["embed", "linear", "linear", "glu", "linear", "select"]


def test_named_values_stay() -> None:
    """What somebody else reads is still made."""
    program = feed_forward().programs()[0].prefill
    product = next(i.outputs[0] for i in program.instructions if i.op == "linear")
    assert ops(fuse(replace(program, outputs={**program.outputs, "up": product}))).count("glu") == 1


def test_a_product_that_is_added_to_itself_stays() -> None:
    def build(b: Builder, w: Weights, x: str) -> str:
        y = b.add("linear", x, weights=(w.normal("w", (64, 64), F32), None))
        return b.add("add", y, y)

    assert ops(fused(OpCase("twice", 64, build))) == ["embed", "linear", "add", "select"]


def test_of_two_products_one_takes_the_other() -> None:
    def build(b: Builder, w: Weights, x: str) -> str:
        a, c = (b.add("linear", x, weights=(w.normal(name, (64, 64), F32), None)) for name in "ac")
        return b.add("add", a, c)

    program = fused(OpCase("two", 64, build))
    assert ops(program) == ["embed", "linear", "linear", "select"]
    assert program.instructions[2].inputs[1] == program.instructions[1].outputs[0]


class Unfused(CpuBackend):
    """Every product is an output too, so that nothing can be fused."""

    def compile(self, programs: Programs, *rest):  # type: ignore[no-untyped-def]
        names = {f"kept {i.outputs[0]}": i.outputs[0] for i in programs.prefill.instructions if i.op == "linear"}
        program = replace(programs.prefill, outputs={**programs.prefill.outputs, **names})
        return super().compile(Programs(program, program), *rest)


class FusedReference(ReferenceBackend):
    """Interprets the fused program."""

    def compile(self, programs: Programs, *rest):  # type: ignore[no-untyped-def]
        program = fuse(programs.prefill)
        assert "gated" in ops(program)
        return super().compile(Programs(program, program), *rest)


@pytest.mark.parametrize("kind", [F32, Q4_K], ids=lambda kind: kind.name)
@pytest.mark.parametrize(
    ("one", "other"), [(ReferenceBackend(), FusedReference()), (CpuBackend(), Unfused())], ids=["reference", "cpu"]
)
def test_numbers_stay(kind: TensorType, one: Backend, other: Backend) -> None:
    case = feed_forward(kind)
    for mine, theirs in zip(run_case(case, one), run_case(case, other), strict=True):
        np.testing.assert_array_equal(mine, theirs)
