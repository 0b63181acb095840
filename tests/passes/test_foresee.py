"""Experts are foreseen by the routers of the layers that come, and no number changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from ostinato.backends.contract import Plan
from ostinato.backends.reference import ReferenceBackend
from ostinato.engine.loading import Opened, open_model
from ostinato.gguf.types_table import TensorType
from ostinato.model.kinds_table import Activation
from ostinato.model.weights import StoredTensor, Tensor
from ostinato.passes.foresee import Foresight, Unforeseen, foresee
from ostinato.passes.fuse import fuse
from ostinato.program.builder import Builder
from ostinato.program.ir import Instruction, Program, Programs
from ostinato.program.printer import format_instruction
from ostinato.program.verify import verify
from tests.backends.opcase import OpCase, Weights, batches
from tests.passes.programs import logits
from tools.tiny_models import write_tiny_model

F32 = TensorType.F32
WIDTH, EXPERTS, USED = 32, 6, 2
PLAN = Plan(max_rows=64, max_logit_rows=64, max_sequences=8, context=96, blocks=64, block_size=8, threads=1)


@pytest.fixture(scope="module")
def moe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    path = tmp_path_factory.mktemp("foresee") / "moe.gguf"
    write_tiny_model(path, moe=True, layers=3)
    opened = open_model(path)
    yield opened
    opened.file.close()


def every(_: Instruction) -> bool:
    return True


def listing(program: Program, layer: int) -> list[str]:
    """The layer's instructions from its own router on, without shapes."""
    own = [i for i in program.instructions if i.layer == layer]
    chosen = next(i.inputs[0] for i in own if i.op == "group")
    start = next(at for at, i in enumerate(own) if chosen in i.outputs)
    return [" ".join(format_instruction(i, program).split("  f32")[0].split("  i32")[0].split()) for i in own[start:]]


def test_the_next_router_sees_what_this_one_saw(moe: Opened) -> None:
    program, left = foresee(fuse(moe.programs.decode), moe.file.tensors, every)
    verify(program, moe.file.tensors)
    assert [i.layer for i in program.instructions if i.op == "foresee"] == [0, 0, 1]
    assert left == ()
    own = listing(program, 0)
    norms = [i for i in fuse(moe.programs.decode).instructions if i.op == "rms_norm"]
    residual = next(i.inputs[0] for i in norms if str(i.weights[0]) == "blk.0.ffn_norm.weight")
    assert own[1].startswith(f"%f3 = rms_norm {residual}, blk.1.ffn_norm.weight eps=")
    assert own[2].startswith("%f4, %f5 = route %f3, blk.1.ffn_gate_inp.weight top_k=2 ")
    assert (
        own[3]
        == "foresee %f4, blk.1.ffn_gate_exps.weight, blk.1.ffn_up_exps.weight, blk.1.ffn_down_exps.weight behind=1"
    )
    assert own[4].split(" = ")[1].startswith("group ")


def test_the_first_router_sees_what_attention_saw(moe: Opened) -> None:
    """Its experts are read while attention computes: nothing that is to be read first comes before them."""
    program, _ = foresee(moe.programs.decode, moe.file.tensors, every)
    hint = next(i for i in program.instructions if i.op == "foresee")
    assert (str(hint.weights[1]), hint.fields["behind"]) == ("blk.0.ffn_up_exps.weight", 0)
    norms = [str(i.weights[0]) for i in program.instructions if i.op == "rms_norm" and i.inputs == ("%0",)]
    assert norms == ["blk.0.attn_norm.weight", "blk.0.ffn_norm.weight"]


def test_two_layers_ahead(moe: Opened) -> None:
    """Behind those of the next layer, which are wanted sooner; of fewer experts."""
    program, left = foresee(moe.programs.decode, moe.file.tensors, every, parts=(1.0, 0.5))
    verify(program, moe.file.tensors)
    assert left == ()
    hints = [i for i in program.instructions if i.op == "foresee"]
    assert [(i.layer, str(i.weights[1])) for i in hints] == [
        (layer, f"blk.{of}.ffn_up_exps.weight") for layer, of in ((0, 0), (0, 1), (0, 1), (0, 2), (1, 2))
    ]
    routers = {i.outputs[0]: i.fields["top_k"] for i in program.instructions if i.op == "route"}
    assert [routers[str(i.inputs[0])] for i in hints] == [2, 1, 2, 1, 2]


def test_statistics_need_only_the_ids(moe: Opened) -> None:
    program, left = foresee(moe.programs.decode, moe.file.tensors, every, Foresight.TRANSITIONS, (1.5,))
    verify(program, moe.file.tensors)
    assert left == ()
    hints = [i for i in program.instructions if i.op == "foresee"]
    assert [(i.layer, str(i.weights[1])) for i in hints] == [
        (layer, f"blk.{(layer + 1) % 3}.ffn_up_exps.weight") for layer in range(3)
    ]
    assert {i.fields["follow"] for i in hints} == {3}
    assert len(program.values) == len(moe.programs.decode.values)


def test_only_what_is_streamed(moe: Opened) -> None:
    program, left = foresee(moe.programs.decode, moe.file.tensors, lambda i: i.layer == 2)
    assert [str(i.weights[1]) for i in program.instructions if i.op == "foresee"] == ["blk.2.ffn_up_exps.weight"]
    assert left == ()
    assert foresee(moe.programs.decode, moe.file.tensors, lambda _: False) == (moe.programs.decode, ())


@pytest.mark.parametrize(("part", "wanted"), [(0.5, 1), (0.6, 2), (1.0, 2), (1.5, 3), (50.0, 8)])
def test_fewer_or_more_than_will_be_used(moe: Opened, part: float, wanted: int) -> None:
    program, _ = foresee(moe.programs.decode, moe.file.tensors, every, parts=(part,))
    verify(program, moe.file.tensors)
    foreseen = {str(i.inputs[0]) for i in program.instructions if i.op == "foresee"}
    assert {i.fields["top_k"] for i in program.instructions if i.op == "route" and i.outputs[0] in foreseen} == {wanted}


@pytest.mark.parametrize("by", Foresight)
def test_numbers_stay(moe: Opened, by: Foresight) -> None:
    programs = moe.programs.rewritten(lambda program: foresee(program, moe.file.tensors, every, by)[0])
    np.testing.assert_array_equal(
        logits(ReferenceBackend(), moe, programs), logits(ReferenceBackend(), moe, moe.programs)
    )


def layers(*kinds: str) -> OpCase:
    """Layers on a residual: "moe" (a norm, a router with groups, correction and gains, experts), "dense" (a norm and a
    product), "bare" (a product of the residual itself). All add zeros, so that the residual stays."""

    def build(b: Builder, w: Weights, x: str) -> str:
        for b.layer, kind in enumerate(kinds):
            h = (
                x
                if kind == "bare"
                else b.add("rms_norm", x, weights=(w.normal(f"n{b.layer}", (WIDTH,), F32),), eps=1e-5)
            )
            product = _mixture(b, w, h) if kind == "moe" else b.add("linear", h, weights=(_zeros(w, WIDTH),))
            x = b.add("add", x, product)
        b.layer = -1
        return x

    return OpCase("layers", WIDTH, build)


def _zeros(w: Weights, *shape: int) -> Tensor:
    return w.put("x".join(map(str, shape)), np.zeros((*shape, WIDTH), np.float32))


def _mixture(b: Builder, w: Weights, h: str) -> str:
    vectors = (w.normal(f"{name}{b.layer}", (EXPERTS,), F32, 0.1) for name in ("bias", "correction", "gain"))
    router = w.normal(f"router{b.layer}", (EXPERTS, WIDTH), F32)
    ids, shares = b.add_many("route", h, weights=(router, *vectors), top_k=USED, groups=3, top_groups=2)
    order, offsets = b.add_many("group", ids, experts=EXPERTS)
    zeros = _zeros(w, EXPERTS, WIDTH)
    out = b.add("experts", h, order, offsets, weights=(None, zeros, zeros), act=Activation.SILU)
    return b.add("combine", out, shares)


def rewritten(case: OpCase, *parts: float) -> tuple[Program, dict[str, StoredTensor], tuple[Unforeseen, ...]]:
    programs, tensors = case.programs()
    program, left = foresee(programs.decode, tensors, every, parts=parts or (1.0,))
    verify(program, tensors)
    return program, tensors, left


@pytest.mark.parametrize(
    ("kinds", "left"),
    [
        (("moe", "moe", "moe"), [0]),
        (("dense", "moe", "moe"), []),
        (("moe", "dense", "bare", "moe"), [0]),
        (("bare", "moe", "bare"), [1]),
    ],
    ids=str,
)
def test_where_layers_add_nothing_all_is_foreseen(kinds: tuple[str, ...], left: list[int]) -> None:
    """By routers with groups, biases and corrections; behind dense layers, too."""
    case = layers(*kinds)
    program, tensors, unforeseen = rewritten(case)
    assert [u.layer for u in unforeseen] == left
    executable = ReferenceBackend().compile(Programs(program, program), tensors, PLAN)
    executable.submit(batches(case, program, PLAN)[0])
    wanted = [str(i.inputs[0]) for i in program.instructions if i.op == "group"][len(left) :]
    hinted = [str(i.inputs[0]) for i in program.instructions if i.op == "foresee"]
    assert len(wanted) == len(hinted) == kinds.count("moe") - len(left)
    for own, ahead in zip(wanted, hinted, strict=True):
        np.testing.assert_array_equal(executable.trace[ahead], executable.trace[own])


def test_a_router_chooses_from_its_groups_only() -> None:
    program, _, _ = rewritten(layers("dense", "moe"), EXPERTS / USED)
    routes = [i for i in program.instructions if i.op == "route"]
    assert [i.fields["top_k"] for i in routes] == [4, USED], "two groups of two"
    assert [[w is not None for w in i.weights] for i in routes] == [[True, True, True, False], [True] * 4]


def test_the_nearest_layer_is_asked() -> None:
    """Behind a routed layer the dense one, which sees more of the residual; of a layer its router, where it has one."""
    program, _, _ = rewritten(layers("moe", "dense", "moe", "moe"))
    assert [i.layer for i in program.instructions if i.op == "foresee"] == [1, 2]


def test_experts_whose_router_is_not_there() -> None:
    programs, tensors = layers("dense", "moe").programs()
    instructions = tuple(
        replace(i, inputs=(i.inputs[0], "%0", *i.inputs[2:])) if i.op == "experts" else i
        for i in programs.decode.instructions
    )
    program, left = foresee(replace(programs.decode, instructions=instructions), tensors, every)
    assert program.instructions == instructions
    assert left == (Unforeseen(1, "its order is not that of a router"),)
