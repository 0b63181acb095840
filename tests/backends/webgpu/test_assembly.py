"""Shaders as text: what they bind, how they follow from a call, and that a compiler takes all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from ostinato.backends.device.lower import Call
from ostinato.backends.device.phases_table import BY_NAME, PHASES
from ostinato.backends.device.planes import FORMATS
from ostinato.backends.webgpu.bindings import bindings
from ostinato.backends.webgpu.shaders import assemble
from ostinato.gguf.types_table import TensorType
from tests.backends.webgpu.runner import device
from tests.backends.webgpu.support import needs_adapter

DECLARED = re.compile(r"@group\(0\) @binding\((\d+)\) var<([a-z_, ]+)> (\w+):")
SORTS = (TensorType.F32, TensorType.F16, TensorType.Q8_0, TensorType.Q4_K, TensorType.IQ4_XS)
KINDS = {"uniform": "uniform", "storage, read": "read-only-storage", "storage, read_write": "storage"}


def calls() -> Iterator[Call]:
    """Every phase; `linear` with every type of weights, the others that read blocks with one of each sort."""
    for phase in PHASES:
        typed = [name for name in phase.shapes if name.endswith("_type")]
        words: dict[str, float] = {name.removesuffix(":f"): 1 for name in phase.words}
        words |= {"dims": 32, "width": 256, "k": 256, "key_dim": 16, "value_dim": 16, "group": 256}
        for kind in FORMATS if phase.name == "linear" else SORTS if typed else SORTS[:1]:
            yield Call(phase.name, words | dict.fromkeys(typed, int(kind)))


def names(call: Call) -> str:
    kinds = [TensorType(int(v)).name for name, v in call.words.items() if name.endswith("_type")]
    return " ".join([call.phase, *kinds[:1]])


CALLS = list(calls())


@pytest.mark.parametrize("call", CALLS, ids=names)
def test_bindings_are_those_of_the_table(call: Call) -> None:
    text = re.sub(r"//.*", "", assemble(call, frozenset()))
    declared = {name: (int(number), KINDS[space]) for number, space, name in DECLARED.findall(text)}
    used = {name: where for name, where in declared.items() if len(re.findall(rf"\b{name}\b", text)) > 1}
    listed = bindings(call.phase)
    always = {0, 1}  # the prelude's functions mention the arena and StepState
    assert dict(where for where in used.values() if where[0] not in always) == {
        number: kind for number, kind in listed.items() if number not in always
    }
    assert sum(kind != "uniform" for kind in listed.values()) <= 8


@pytest.mark.parametrize("features", [frozenset(), frozenset({"dot4I8Packed"})], ids=["plain", "dot4I8Packed"])
@pytest.mark.parametrize("call", CALLS, ids=names)
@needs_adapter
def test_compiles(call: Call, features: frozenset[str]) -> None:
    opened, _ = device()
    module = opened.handle.create_shader_module(code=assemble(call, features))
    opened.handle.create_compute_pipeline(
        layout="auto", compute={"module": module, "entry_point": "main", "constants": call.shapes()}
    )


def test_the_built_in_dot_product_is_used_where_it_is() -> None:
    call = next(call for call in CALLS if call.phase == "linear" and call.words["weight_type"] == TensorType.Q8_0)
    assert "dot4I8Packed(" not in assemble(call, frozenset())
    assert "dot4I8Packed(" in assemble(call, frozenset({"dot4I8Packed"}))


def test_text_depends_on_the_shapes_alone() -> None:
    for call in CALLS:
        moved = Call(call.phase, {**call.words, **dict.fromkeys(BY_NAME[call.phase].places, 4096)})
        assert assemble(moved, frozenset()) == assemble(call, frozenset())


def test_operands_of_two_types_stand_side_by_side() -> None:
    call = next(call for call in CALLS if call.phase == "experts_in")
    words = {**call.words, "gate_type": int(TensorType.Q4_K), "up_type": int(TensorType.F16)}
    text = assemble(Call("experts_in", words), frozenset())
    for function in ("gate_chunk", "gate_products", "up_value", "up_products"):
        assert len(re.findall(rf"\bfn {function}\b", text)) == 1
    assert not re.search(r"\w_(q4_k|f16)\b|\boperand_|\bstored\b", re.sub(r"//.*", "", text))


def test_no_function_stands_twice() -> None:
    for call in CALLS:
        functions = re.findall(r"^fn (\w+)", assemble(call, frozenset()), re.MULTILINE)
        assert len(functions) == len(set(functions)), call.phase
