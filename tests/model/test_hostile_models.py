"""Whatever a file's metadata and tensors say, reading it ends in a program or in one clear line; and what compiles can
be run. Every key and tensor that a mapping looks for is changed in turn (specimens.py, mutations.py)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from math import e
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.backends.contract import CompileError
from ostinato.engine.loading import Options, PlanError, open_model
from ostinato.gguf.types_table import TensorType, ValueType
from ostinato.model.architectures import ARCHITECTURES, ModelError, read_spec
from ostinato.model.weights import WeightError
from ostinato.program.compile import compile_model
from ostinato.program.ops_table import ShapeError
from ostinato.program.verify import VerifyError
from tests.backends.cases import MemoryTensor
from tests.model import step
from tests.model.mutations import NASTY, array, asked_for, changed_keys, changed_tensors, gguf_bytes
from tests.model.specimens import DELTA, DENSE, SPECIMENS, WIDTH, Specimen

OURS = (ModelError, ShapeError, WeightError, VerifyError)
LONGEST = 1000  # characters: the list of architectures is the longest text


def check(specimen: Specimen, what: str) -> bool:
    """Whether it compiles; if not, by which error, and that its text is one line."""
    try:
        compile_model(read_spec(specimen), specimen.tensors)
    except OURS as error:
        text = str(error)
        assert text.isprintable(), f"{what}: {text!r}"
        assert 10 < len(text) < LONGEST, f"{what}: {text!r}"
        return False
    except Exception as error:
        raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
    return True


@cache
def seen_before(specimen: str) -> frozenset[str]:
    """Keys and tensors, without architecture and layer, that the specimens before this one look for."""
    names = list(SPECIMENS)
    if names[0] == specimen:
        return frozenset()
    previous = names[names.index(specimen) - 1]
    return seen_before(previous) | {plain(name) for names in asked_for(SPECIMENS[previous]()) for name in names}


def plain(name: str) -> str:
    if name.startswith("blk."):
        return name.split(".", 2)[2]
    architecture, _, rest = name.partition(".")
    return rest if architecture in ARCHITECTURES else name


def changes(name: str) -> Iterator[tuple[str, Specimen]]:
    """All changes of keys and tensors that are new with this specimen, of its first layer."""
    for made in (changed_keys, changed_tensors):
        for what, specimen in made(SPECIMENS[name]()):
            target = what.partition(" ")[0]
            if plain(target) not in seen_before(name) and not target.startswith("blk.1."):
                yield what, specimen


@pytest.mark.parametrize("name", SPECIMENS)
def test_a_specimen_compiles_and_runs(name: str) -> None:
    assert check(SPECIMENS[name](), name)
    step.run(SPECIMENS[name]())


@pytest.mark.parametrize("name", SPECIMENS)
def test_every_change_ends_in_a_program_or_in_one_line(name: str) -> None:
    runs = [(what, specimen) for what, specimen in changes(name) if check(specimen, what)]
    for _, specimen in runs[:: max(1, len(runs) // 20)]:
        try:
            step.run(specimen)
        except CompileError:  # a type that weights do not have
            continue


@pytest.mark.parametrize("name", SPECIMENS)
def test_any_architecture_with_the_tensors_of_another(name: str) -> None:
    for architecture in ARCHITECTURES:
        check(SPECIMENS[name]().named(architecture), architecture)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_change_of_every_specimen() -> None:
    for what, specimen in step.changed():
        check(specimen, what)


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(max_examples=2000, deadline=None)
@given(st.data())
def test_several_changes_at_once(data: st.DataObject) -> None:
    specimen = SPECIMENS[data.draw(st.sampled_from(sorted(SPECIMENS)))]()
    keys, tensors = asked_for(specimen)
    values = st.sampled_from(NASTY) | st.integers(0, 80) | st.floats(0, 100)
    sizes = st.integers(0, 3) | st.sampled_from([4, 8, 16, 32, 64, 128, 256])
    types = st.sampled_from([TensorType.F32, TensorType.F16, TensorType.Q8_0])
    for _ in range(data.draw(st.integers(2, 5))):
        if data.draw(st.booleans()):
            specimen = specimen.with_key(data.draw(st.sampled_from(keys)), data.draw(values))
            continue
        shape, kind = tuple(data.draw(st.lists(sizes, min_size=1, max_size=3))), data.draw(types)
        if shape[-1] % kind.block_elements == 0:
            specimen = specimen.with_tensor(data.draw(st.sampled_from(tensors)), shape, kind)
    if check(specimen, "several"):
        try:
            step.run(specimen)
        except CompileError:
            return


def specimen(name: str, **metadata: Any) -> Specimen:
    """One with other metadata, `__` for a dot."""
    found = SPECIMENS[name]()
    for key, value in metadata.items():
        found = found.with_key(f"{found.architecture}.{key.replace('__', '.')}", value)
    return found


@pytest.mark.parametrize(
    ("hostile", "says"),
    [
        (specimen("dense", nextn_predict_layers=2**24), "nextn_predict_layers' is 16777216; expected 0 to 1"),
        (specimen("dense", attention__head_count=None), "head_count' is missing; expected a number"),
        (specimen("dense", block_count="\x1b[2J\n" * 1000), r"found '\\x1b\[2J\\n"),
        (specimen("yarn", rope__freq_base=1.0), "a base of the rotation above 1, found 1.0"),
        (specimen("yarn", rope__scaling__factor=e, rope__scaling__yarn_log_multiplier=-10.0), "no gain"),
        (specimen("windows", attention__sliding_window_pattern=0.5), "must be a whole number, found 0.5"),
        (specimen("windows", attention__sliding_window_pattern=array(ValueType.INT32, 1)), "has 1 elements; expected"),
        (specimen("windows", attention__sliding_window_pattern="xx"), "must hold true or false, found 'xx'"),
        (specimen("dense", attention__head_count_kv=array(ValueType.UINT8, *(513 * [2]))), "has 513 elements"),
        (specimen("groups", expert_count=2**16), "expert_count' is 65536; expected 1 to 4096"),
        (
            SPECIMENS["fused experts"]().with_tensor("blk.0.ffn_gate_up_exps.weight", (4,)),
            "must be a stack of matrices",
        ),
        (SPECIMENS["dense"]().with_tensor("blk.0.\x1b[2J", (4,)), r"no use for here: 'blk.0.\\x1b\[2J'"),
        (SPECIMENS["dense"]().with_tensor("blk.0.attn_v.weight", (15, 32)), "keys 16 and values 15 wide; 2 heads of 8"),
    ],
)
def test_what_is_wrong_is_named(hostile: Specimen, says: str) -> None:
    with pytest.raises(OURS, match=says):
        compile_model(read_spec(hostile), hostile.tensors)


class HeaderOnly(MemoryTensor):
    """A tensor of any size without data, as a file that ends after its header describes it."""


def test_a_short_file_does_not_ask_for_millions_of_slices() -> None:
    heads = 2**22
    rates = HeaderOnly("blk.0.ssm_ba.weight", TensorType.F32, (4 * heads, WIDTH), np.zeros(0, np.uint8))
    found = specimen("delta", ssm__group_count=heads, ssm__time_step_rank=2 * heads, ssm__inner_size=2 * heads)
    with pytest.raises(ModelError, match=r"ssm\.group_count' is 4194304; expected 1 to 1024"):
        read_spec(Specimen(found.metadata, {**found.tensors, rates.name: rates}))


def test_a_long_context_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.gguf"
    path.write_bytes(gguf_bytes(specimen("dense", context_length=2**24)))
    opened = open_model(path, Options(backend="cpu"))
    assert opened.spec.context == 2**24
    assert opened.plan.context <= 8192
    opened.file.close()
    with pytest.raises(PlanError, match="a context of 1073741824 positions"):
        open_model(path, Options(backend="cpu", context=2**30))


def test_state_beyond_the_memory_is_refused(tmp_path: Path) -> None:
    """A matrix of a few megabytes can stand for state of gigabytes in every slot."""
    dim = 8192
    mixed = 3 * dim
    found = specimen("delta", ssm__group_count=1, ssm__time_step_rank=1, ssm__state_size=dim, ssm__inner_size=dim)
    shapes = {**DELTA, **DENSE, "attn_qkv.weight": (mixed, WIDTH), "attn_gate.weight": (dim, WIDTH), "ssm_a": (1,),
              "ssm_ba.weight": (2, WIDTH), "ssm_dt.bias": (1,), "ssm_conv1d.weight": (mixed, 2),
              "ssm_norm.weight": (dim,), "ssm_out.weight": (WIDTH, dim)}  # fmt: skip
    for name, shape in shapes.items():
        found = found.with_tensor(f"blk.0.{name}", shape)
    path = tmp_path / "state.gguf"
    path.write_bytes(gguf_bytes(found))
    with pytest.raises(PlanError, match="recurrent state of 100000 sequences needs"):
        open_model(path, Options(backend="cpu", max_sequences=100_000))
