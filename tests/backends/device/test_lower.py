"""Lowering: every op has phases, every phase all its words, and scratch that nobody else uses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ostinato.backends.contract import CompileError, Plan
from ostinato.backends.device.lower import Call, Lowered, lower
from ostinato.backends.device.phases_table import BY_NAME
from ostinato.backends.device.planes import device_bytes
from ostinato.engine.loading import Opened, open_model
from ostinato.gguf.types_table import TensorType
from ostinato.model.weights import Rows, Tensor, resolve
from ostinato.program.builder import Builder
from ostinato.program.ir import CacheGroup
from ostinato.program.ops_table import OPS
from tests.backends.cases import BLOCK_CASES, CASES, FIELD_CASES, OpCase, Weights
from tools.tiny_models import write_tiny_model

NOT_IN_THE_ARENA = {"index", "first", "count", "n"}  # places that are numbers
PLAN = Plan(max_rows=64, max_logit_rows=16, max_sequences=8, context=512, blocks=64)


def lowered(case: OpCase, most: int = 1 << 62) -> Lowered:
    programs, tensors = case.programs()
    return lower(programs.decode, tensors, PLAN, most)


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    path = tmp_path_factory.mktemp("lower") / "dense.gguf"
    write_tiny_model(path, type="Q8_0")
    opened = open_model(path)
    yield opened
    opened.file.close()


@pytest.mark.parametrize(
    "case", [case for case in CASES if case not in BLOCK_CASES + FIELD_CASES], ids=lambda case: case.name
)
def test_calls_have_exactly_the_words_of_their_phase(case: OpCase) -> None:
    program = lowered(case)
    assert [program.calls[0].phase, program.calls[-1].phase] == ["rows", "finish"]
    for call in program.calls:
        phase = BY_NAME[call.phase]
        assert set(call.words) == {word.removesuffix(":f") for word in phase.places + phase.shapes}
        assert len(call.weights) in (0, len(phase.weights))
        assert all(0 <= call.words[place] < program.arena_words for place in set(phase.places) - NOT_IN_THE_ARENA)


def test_every_op_is_covered(dense: Opened) -> None:
    ops = {i.op for case in CASES for i in case.programs()[0].decode.instructions}
    ops |= {i.op for program in dense.programs for i in program.instructions}
    assert ops == {op.name for op in OPS}


def test_activations_are_packed_once_for_all_their_readers(dense: Opened) -> None:
    phases = [call.phase for call in lower(dense.programs.decode, dense.file.tensors, PLAN).calls]
    linears, packs = phases.count("linear"), phases.count("pack")
    layers = len(dense.spec.layers)
    assert linears == 7 * layers + 1
    assert packs == 4 * layers + 1  # before q k v, output, gate up, down; before the last linear


def test_weights_split_at_the_size_of_a_binding() -> None:
    case = next(case for case in CASES if case.name == "linear Q4_K 130x1024")
    whole = [call for call in lowered(case).calls if call.phase == "linear"]
    parts = [call for call in lowered(case, 50 * 576).calls if call.phase == "linear"]
    assert [call.words["n"] for call in parts] == [50, 50, 30]
    assert [call.words["first"] for call in parts] == [0, 50, 100]
    assert [call.words["out"] - whole[0].words["out"] for call in parts] == [0, 50, 100]
    assert [call.weights[0] for call in parts] == [Rows(Tensor("w"), at, min(at + 50, 130)) for at in (0, 50, 100)]
    assert all(_bytes(call, case) <= 50 * 576 for call in parts)


@pytest.mark.parametrize("name", ["linear Q4_K 130x1024", "embed Q8_0", "experts Q8_0 2/8 SOFTMAX normalise"])
def test_parts_of_a_weight_have_the_same_shapes(name: str) -> None:
    """So that they share a pipeline, the last and shorter one too."""
    case = next(case for case in CASES if case.name == name)
    least = 2 * max(device_bytes(resolve(Tensor(t), case.programs()[1])) // 8 for t in case.programs()[1])
    shapes: dict[tuple[str, int], list[dict[str, float]]] = {}
    for call in lowered(case, least).calls:
        shapes.setdefault((call.phase, call.instruction), []).append(call.shapes())
    split = [found for (phase, _), found in shapes.items() if phase in ("embed", "linear", "experts_in", "experts_out")]
    assert max(map(len, split)) > 1
    assert all(each == each[:1] * len(each) for each in split)


def _bytes(call: Call, case: OpCase) -> int:
    expr = call.weights[0]
    assert expr is not None
    return device_bytes(resolve(expr, case.programs()[1]))


def test_experts_split_between_experts() -> None:
    case = next(case for case in CASES if case.name.startswith("experts Q8_0"))
    calls = lowered(case, 3 * 512 * 272 + 1).calls  # three experts' gate
    inner = [(call.words["first"], call.words["count"]) for call in calls if call.phase == "experts_in"]
    assert inner == [(0, 3), (3, 3), (6, 2)]


def test_a_row_that_no_binding_holds() -> None:
    with pytest.raises(CompileError, match="weight table: 4096 bytes that cannot be split; a binding has 100"):
        lowered(next(case for case in CASES if case.name == "linear Q4_K 130x1024"), 100)


def test_a_type_without_kernels() -> None:
    weights = Weights(seed=1)
    table = weights.normal("table", (96, 256), TensorType.F32)
    weights.normal("w", (8, 256), TensorType.IQ3_S)
    builder = Builder(weights.tensors)
    out = builder.add("linear", builder.add("embed", weights=(table,)), weights=(Tensor("w"), None))
    program = builder.program("p", {"logits": builder.add("select", out)}, 8)
    with pytest.raises(CompileError, match=r"w has type IQ3_S, for which devices have no kernels"):
        lower(program, weights.tensors, PLAN)


@pytest.mark.parametrize(("key", "value", "says"), [(258, 64, "key_dim is 258"), (64, 33, "value_dim is 33")])
def test_heads_that_attention_does_not_take(key: int, value: int, says: str) -> None:
    weights = Weights(seed=1)
    builder = Builder(weights.tensors)
    builder.caches.append(CacheGroup("full", 1, 1, key, value))
    q = builder.add("embed", weights=(weights.normal("table", (96, key), TensorType.F32),))
    v = builder.add("embed", weights=(weights.normal("values", (96, value), TensorType.F32),))
    builder.add("append", q, v, cache=0, index=0)
    out = builder.add("attend", q, cache=0, index=0, heads=1, kv_heads=1, key_dim=key, value_dim=value, scale=1.0)
    program = builder.program("p", {"logits": builder.add("select", out)}, value)
    with pytest.raises(CompileError, match=f"{says}; devices take even ones up to 256"):
        lower(program, weights.tensors, PLAN)


def test_scratch_does_not_overlap_values(dense: Opened) -> None:
    program = lower(dense.programs.decode, dense.file.tensors, PLAN)
    scratch = {call.words["out"] for call in program.calls if call.phase == "pack"}
    values = {call.words["x"] for call in program.calls if call.phase == "pack"}
    assert max(values) < min(scratch)
