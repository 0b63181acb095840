"""verify refuses what is not a program, and names the instruction."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from ostinato.gguf.types_table import TensorType
from ostinato.model.weights import StoredTensor, Tensor
from ostinato.program.builder import Builder
from ostinato.program.ir import CacheGroup, Instruction, Program
from ostinato.program.ops_table import Axis, DType, Shape, ShapeError
from ostinato.program.verify import VerifyError, verify
from tests.backends.cases import MemoryTensor


def tensor(name: str, *shape: int) -> MemoryTensor:
    return MemoryTensor(name, TensorType.F32, shape, np.zeros(4 * int(np.prod(shape)), np.uint8))


TENSORS: dict[str, StoredTensor] = {
    t.name: t
    for t in (
        tensor("table", 10, 8), tensor("gain", 8), tensor("w", 10, 8), tensor("kv", 4, 8), tensor("empty", 0, 8),
        tensor("up", 10, 5, 8), tensor("down", 10, 8, 5), tensor("few", 3, 8, 5),
    )
}  # fmt: skip


def program() -> Program:
    b = Builder(TENSORS)
    b.caches.append(CacheGroup("full", 1, 1, 4, 4))
    x = b.add("embed", weights=(Tensor("table"),))
    k = b.add("linear", x, weights=(Tensor("kv"), None))
    b.add("append", k, k, cache=0, index=0)
    x = b.add("select", b.add("rms_norm", x, weights=(Tensor("gain"),), eps=1e-5))
    y = b.add("linear", x, weights=(Tensor("w"), None))
    b.add("sample", y)
    return b.program("test", {"logits": y}, 10)


def changed(number: int, **changes: object) -> Program:
    whole = program()
    instructions = list(whole.instructions)
    instructions[number] = replace(instructions[number], **changes)  # type: ignore[arg-type]
    return replace(whole, instructions=tuple(instructions))


def test_accepts_a_program() -> None:
    verify(program(), TENSORS)


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (changed(0, op="frobnicate"), "unknown op"),
        (changed(1, inputs=("%9", None)), "%9 is used before"),
        (changed(1, outputs=("%0",)), "%0 is defined twice"),
        (changed(1, weights=(Tensor("absent"), None)), "no tensor 'absent'"),
        (changed(1, weights=(Tensor("gain"), None)), "must have 2 dimensions"),
        (changed(1, weights=(None, None)), "'weight' is missing"),
        (changed(1, weights=(Tensor("kv"),)), "1 weights, the op has 2"),
        (changed(1, fields={"eps": 1.0}), "fields ['eps']"),
        (changed(2, fields={"cache": 1, "index": 0}), "cache 1 layer 0 is not declared"),
        (changed(2, fields={"cache": 0, "index": 1}), "cache 0 layer 1 is not declared"),
        (changed(2, inputs=("%0", "%1")), "1 heads of 4 and 4 are 4 and 4"),
        (changed(3, fields={"eps": 1e-5, "groups": 3}), "does not split into 3"),
        (changed(3, fields={"eps": 1e-5, "groups": 0}), "groups must be positive, found 0"),
        (changed(3, fields={"eps": 1e39, "groups": 1}), "eps=1e+39 is beyond"),
        (changed(3, fields={"eps": float("nan"), "groups": 1}), "eps=nan is beyond"),
        (changed(2, fields={"cache": 0, "index": 2**32}), "index=4294967296 is beyond"),
        (changed(1, weights=(Tensor("empty"), None)), "must have 2 dimensions of 1 to"),
        (replace(program(), vocab_size=11), "the vocabulary has 11"),
        (replace(program(), outputs={"logits": "%7"}), "no instruction defines"),
    ],
)
def test_refuses(broken: Program, says: str) -> None:
    with pytest.raises(VerifyError, match=re.escape(says)):
        verify(broken, TENSORS)


def test_names_the_instruction() -> None:
    with pytest.raises(VerifyError, match=r"test, instruction 1 \(linear, layer -1\)"):
        verify(changed(1, inputs=("%9", None)), TENSORS)


def test_refuses_a_value_that_nothing_defines() -> None:
    whole = program()
    values = {**whole.values, "%99": Shape(DType.F32, Axis.T, 1, 1)}
    with pytest.raises(VerifyError, match="%99"):
        verify(replace(whole, values=values), TENSORS)


def test_builder_names_missing_fields() -> None:
    with pytest.raises(TypeError, match="eps"):
        Builder(TENSORS).add("rms_norm", weights=(Tensor("gain"),))


def test_shape_rules_name_both_sides() -> None:
    b = Builder(TENSORS)
    x = b.add("embed", weights=(Tensor("table"),))
    k = b.add("linear", x, weights=(Tensor("kv"), None))
    with pytest.raises(ShapeError, match=r"f32\[T, 8\] and f32\[T, 4\] differ"):
        b.add("add", x, k)


def test_ids_of_another_router_are_refused() -> None:
    b = Builder(TENSORS)
    x = b.add("embed", weights=(Tensor("table"),))
    fields = {"top_k": 2, "scoring": 0, "normalise": 1, "scale": 1.0}
    ids, _ = b.add_many("route", x, weights=(Tensor("w"),), **fields)
    b.add_many("group", ids, experts=9)
    with pytest.raises(VerifyError, match="group of 9 experts, layer -1: the ids of w"):
        verify(b.program("test", {}, 10), TENSORS)


def foreseeing(router: str = "w", up: str = "up", down: str = "down", **fields: float) -> Program:
    b = Builder(TENSORS)
    x = b.add("embed", weights=(Tensor("table"),))
    ids, _ = b.add_many("route", x, weights=(Tensor(router),), top_k=2)
    b.add("foresee", ids, weights=(None, Tensor(up), Tensor(down)), **fields)
    return b.program("test", {}, 10)


def test_experts_are_foreseen_by_the_ids_of_their_router() -> None:
    verify(foreseeing(), TENSORS)
    with pytest.raises(VerifyError, match="foresee of 10 experts, layer -1: the ids of kv"):
        verify(foreseeing("kv"), TENSORS)
    verify(foreseeing("kv", follow=3), TENSORS)


def test_what_is_foreseen_is_a_mixture_of_experts() -> None:
    with pytest.raises(ShapeError, match="up has 10 experts, down 3"):
        foreseeing(down="few")
    with pytest.raises(ShapeError, match="11 of 10 experts"):
        foreseeing(follow=11)
    with pytest.raises(ShapeError, match="weight 1 must have 3 dimensions"):
        foreseeing(up="w")


def fetching(*steps: tuple[str, int]) -> Program:
    b = Builder(TENSORS)
    for op, parcel in steps:
        b.add(op, parcel=parcel)
    return b.program("test", {}, 10)


def test_parcels_are_fetched_and_dropped() -> None:
    verify(fetching(("fetch", 0), ("fetch", 1), ("drop", 0), ("drop", 1), ("fetch", 0), ("drop", 0)), TENSORS)


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ((("fetch", 1), ("fetch", 1)), "fetch of parcel 1, layer -1, which is there already"),
        ((("drop", 1),), "drop of parcel 1, layer -1, which was not fetched"),
        ((("fetch", 1), ("drop", 1), ("fetch", 2)), "fetched and not dropped: [2]"),
    ],
)
def test_parcels_that_are_not(steps: tuple[tuple[str, int], ...], says: str) -> None:
    with pytest.raises(VerifyError, match=re.escape(says)):
        verify(fetching(*steps), TENSORS)


def test_no_parcel_has_a_negative_number() -> None:
    with pytest.raises(ShapeError, match="there is no parcel -1"):
        fetching(("fetch", -1))


def test_instruction_knows_its_spec() -> None:
    assert Instruction("add", ("%2",), ("%0", "%1")).spec.doc == "a + scale x b."
