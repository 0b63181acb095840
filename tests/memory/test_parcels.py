"""Parcels of models: every byte of an expert, once, where the file has it; layers of dense models."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ostinato import _memory
from ostinato.gguf.reader import GGUFFile, open_gguf
from ostinato.memory.budget import kept_layers, plan
from ostinato.memory.options import ReadMode, StoreOptions
from ostinato.memory.parcels import Extent, Parcels, expert_parcels, layer_parcels
from ostinato.memory.store import block_of, open_store
from ostinato.memory.store_table import BLOCK
from ostinato.model.architectures import read_spec
from ostinato.model.weights import Stack, Tensor, Within, resolve
from ostinato.program.compile import compile_model
from ostinato.program.ir import Programs
from tests.memory.worlds import ints
from tests.support import BUILTIN


@pytest.fixture(scope="module")
def opened() -> Iterator[tuple[GGUFFile, Programs]]:
    """The built-in model, a mixture of experts."""
    with open_gguf(BUILTIN) as file:
        yield file, compile_model(read_spec(file), file.tensors)


@pytest.fixture(scope="module")
def experts(opened: tuple[GGUFFile, Programs]) -> Parcels:
    return expert_parcels(opened[1], opened[0])


def bytes_of(extent: Extent) -> bytes:
    return BUILTIN.read_bytes()[extent.offset : extent.offset + extent.nbytes]


def test_an_expert_is_its_slices_of_the_stacks(opened: tuple[GGUFFile, Programs], experts: Parcels) -> None:
    file, programs = opened
    instructions = [i for i in programs.decode.instructions if i.op == "experts"]
    assert [stack.layer for stack in experts.stacks] == [i.layer for i in instructions]
    for instruction in instructions:
        stack = experts.stack(instruction)
        assert stack is not None
        for operand, weight in enumerate(w for w in instruction.weights[:3] if w is not None):
            view = resolve(weight, file.tensors)
            whole = np.concatenate([p.data[p.offset : p.offset + p.count * p.stride] for p in view.pieces])
            each = np.split(whole, stack.count)
            for expert in (0, 1, stack.count - 1):
                parcel = experts.parcels[stack.first + expert]
                assert parcel.layer == instruction.layer
                assert bytes_of(parcel.extents[operand]) == each[expert].tobytes()
                assert stack.strides[operand] == view.row_bytes


def test_no_byte_is_in_two_parcels_and_the_rest_is_resident(
    opened: tuple[GGUFFile, Programs], experts: Parcels
) -> None:
    spans = sorted((e.offset, e.offset + e.nbytes) for parcel in experts.parcels for e in parcel.extents)
    assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))
    stacked = [t for t in opened[0].tensors.values() if "_exps.weight" in t.name]
    assert experts.nbytes == sum(t.nbytes for t in stacked) > 0
    assert experts.resident_bytes == sum(t.nbytes for t in opened[0].tensors.values()) - experts.nbytes


def test_matrices_of_dense_layers(opened: tuple[GGUFFile, Programs]) -> None:
    file, programs = opened
    layers = layer_parcels(programs, file)
    assert [parcel.layer for parcel in layers.parcels] == list(range(len(layers.parcels)))
    assert [dense.layer for dense in layers.dense] == sorted(dense.layer for dense in layers.dense)
    read = [i.weights[0] for i in programs.decode.instructions if i.op == "linear"]
    placed = [weight for dense in layers.dense for weight in dense.extents]
    assert placed == [weight for weight in read if weight in placed]
    largest = max(resolve(weight, file.tensors).nbytes for weight in placed)
    assert max(parcel.nbytes for parcel in layers.parcels) == largest
    for dense in layers.dense:
        parcel = layers.parcels[dense.parcel]
        assert sum(map(len, dense.extents.values())) == len(parcel.extents)
        for weight, own in dense.extents.items():
            view = resolve(weight, file.tensors)
            assert sum(parcel.extents[i].nbytes for i in own) == view.nbytes


class Rewritten:
    """Programs whose one `experts` has other weight expressions."""

    def __init__(self, programs: Programs, *weights: object) -> None:
        from dataclasses import replace

        first = next(i for i in programs.decode.instructions if i.op == "experts")
        changed = replace(first, weights=(*weights, *first.weights[3:]))  # type: ignore[arg-type]
        program = replace(programs.decode, instructions=(changed,))
        self.instruction, self.programs = changed, Programs(program, program)


def test_stacks_of_every_make(opened: tuple[GGUFFile, Programs], experts: Parcels) -> None:
    """Experts within a fused stack, and stacks of single tensors."""
    file, programs = opened
    gate, up, down = (w for w in experts.stacks[0].weights if w is not None)
    rows = resolve(up, file.tensors).dims[1]
    half = Rewritten(programs, Within(up, 0, rows // 2), Within(up, rows // 2, rows), down)
    parts = expert_parcels(half.programs, file)
    for mine, theirs in zip(parts.parcels, experts.parcels, strict=False):
        assert bytes_of(mine.extents[0]) + bytes_of(mine.extents[1]) == bytes_of(theirs.extents[1])
    assert isinstance(gate, Tensor)
    names = [n for n in file.tensors if n.endswith("attn_q.weight")]
    single = Stack(tuple(Tensor(name) for name in names))
    stacked = expert_parcels(Rewritten(programs, None, single, single).programs, file)
    assert [p.extents[0].offset for p in stacked.parcels] == [file.tensors[name].offset for name in names]


def test_experts_from_the_store_are_the_file_s(opened: tuple[GGUFFile, Programs], experts: Parcels) -> None:
    least = plan(experts, experts.resident_bytes + experts.nbytes // 2)
    store = open_store(experts, least, [BUILTIN], StoreOptions(mode=ReadMode.CACHED), replicas=[BUILTIN])
    request = _memory.Request(store)
    for first in range(0, len(experts.parcels), 7):
        chosen = range(first, min(first + 7, len(experts.parcels)))
        request.want(ints(chosen))
        while arrived := request.take():
            for parcel, error in arrived:
                assert error == ""
                for index, extent in enumerate(experts.parcels[parcel].extents):
                    assert request.data(parcel, index).tobytes() == bytes_of(extent)
                request.release(parcel)
    assert store.bytes <= experts.nbytes // 2
    store.check_integrity()
    store.close()
    finer = plan(experts, least.nbytes, block=BLOCK // 2)
    with pytest.raises(ValueError, match="aligned"):
        open_store(experts, finer, [BUILTIN])
    assert block_of([BUILTIN]) >= BLOCK
    with pytest.raises(ValueError, match="replicas"):
        open_store(experts, least, [BUILTIN], replicas=[BUILTIN, Path("other")])
    with pytest.raises(ValueError, match="not a regular file"):
        open_store(experts, least, [BUILTIN], replicas=[BUILTIN.parent])
    with pytest.raises(ValueError, match=r"conftest\.py: has \d+ bytes; .*tiny\.gguf, of which it should be a replica"):
        open_store(experts, least, [BUILTIN], replicas=[Path(__file__).parent.parent / "conftest.py"])


def test_layers_are_streamed_while_others_are_read(opened: tuple[GGUFFile, Programs]) -> None:
    layers = layer_parcels(opened[1], opened[0])
    made = plan(layers, layers.resident_bytes + layers.nbytes * 3 // 4)
    assert not made.complete
    store = open_store(layers, made, [BUILTIN], StoreOptions(mode=ReadMode.CACHED))
    store.keep(ints(kept_layers(made)))
    request = _memory.Request(store)
    order = [dense.parcel for _ in range(3) for dense in layers.dense]
    for turn, parcel in enumerate(order):
        if turn == 0:
            request.want(ints([parcel]))
        if turn + 1 < len(order):
            request.want(ints([order[turn + 1]]))
        assert request.wait(parcel) == ""
        for index, extent in enumerate(layers.parcels[parcel].extents):
            assert request.data(parcel, index).tobytes() == bytes_of(extent)
        request.release(parcel)
        store.check_integrity()
    store.close()
