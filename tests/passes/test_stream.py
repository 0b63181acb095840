"""Layers are fetched before their weights are read, dropped behind them, and read ahead in turn."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from ostinato.backends.reference import ReferenceBackend
from ostinato.engine.loading import Opened, open_model
from ostinato.memory.budget import kept_layers, padded, plan
from ostinato.memory.parcels import layer_parcels
from ostinato.passes.fuse import fuse
from ostinato.passes.stream import check_held, stream
from ostinato.program.ir import Instruction, Program, Programs
from ostinato.program.printer import format_instruction
from ostinato.program.verify import VerifyError, verify
from tests.passes.programs import logits
from tools.tiny_models import write_tiny_model

LAYERS = 6


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    path = tmp_path_factory.mktemp("stream") / "dense.gguf"
    write_tiny_model(path, layers=LAYERS)
    opened = open_model(path)
    yield opened
    opened.file.close()


def layer_of(instruction: Instruction) -> list[int]:
    """Layer l is parcel l, wherever a matrix is read."""
    return [instruction.layer] if instruction.layer >= 0 and instruction.op in ("linear", "gated") else []


def streamed(opened: Opened, kept: tuple[int, ...] = ()) -> Program:
    program = stream(fuse(opened.programs.decode), layer_of, kept)
    verify(program, opened.file.tensors)
    return program


def fetches(program: Program) -> list[tuple[int, int, int]]:
    return [(int(i.fields["parcel"]), int(i.fields["next"]), int(i.fields["after"]))
            for i in program.instructions if i.op == "fetch"]  # fmt: skip


def test_a_layer_is_fetched_and_dropped_around_its_weights(dense: Opened) -> None:
    program = streamed(dense)
    own = [i for i in program.instructions if i.layer == 1]
    assert " ".join(i.op for i in own) == (
        "rms_norm fetch linear rope linear linear rope append attend linear rms_norm gated linear drop"
    )
    listed = [format_instruction(i, program).split() for i in own if i.op in ("fetch", "drop")]
    assert listed == [["fetch", "parcel=1", "next=2", "after=3"], ["drop", "parcel=1"]]


def test_after_the_last_come_the_first(dense: Opened) -> None:
    assert fetches(streamed(dense)) == [(0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (4, 5, 0), (5, 0, 1)]


def test_what_is_kept_is_not_read_ahead(dense: Opened) -> None:
    assert fetches(streamed(dense, (0, 3))) == [(0, 1, 2), (1, 2, 4), (2, 4, 5), (3, 4, 5), (4, 5, 1), (5, 1, 2)]
    assert fetches(streamed(dense, (0, 1, 2, 3))) == [(p, 4, 5) for p in range(4)] + [(4, 5, -1), (5, 4, -1)]
    assert fetches(streamed(dense, tuple(range(LAYERS)))) == [(p, -1, -1) for p in range(LAYERS)]


def test_nothing_to_stream_changes_nothing(dense: Opened) -> None:
    program = dense.programs.decode
    assert stream(program, lambda _: ()) == program


def test_with_the_parcels_of_a_file(dense: Opened) -> None:
    """Whatever is computed with is held; fetches come in the order of the parcels."""
    parcels = layer_parcels(dense.programs, dense.file)
    parcel_of = {weight: own.parcel for own in parcels.dense for weight in own.extents}
    kept = kept_layers(plan(parcels, parcels.resident_bytes + 6 * max(map(padded, parcels.parcels))))
    assert len(kept) == 2

    def parcels_of(instruction: Instruction) -> list[int]:
        return [parcel_of[weight] for weight in instruction.weights if weight in parcel_of]

    program = stream(fuse(dense.programs.decode), parcels_of, kept)
    verify(program, dense.file.tensors)
    assert [parcel for parcel, _, _ in fetches(program)] == list(range(len(parcels.parcels)))
    assert {coming for _, *own in fetches(program) for coming in own}.isdisjoint(kept)
    held: set[float] = set()
    most = 0
    for i in program.instructions:
        held ^= {i.fields["parcel"]} if i.op in ("fetch", "drop") else set()
        most = max(most, len(held))
        assert set(parcels_of(i)) <= held
    assert most == 2, "gate and up are one product"


def test_whoever_reads_outside_is_named(dense: Opened) -> None:
    program = streamed(dense)
    check_held(program, layer_of)
    numbers = [n for n, i in enumerate(program.instructions) if i.layer == 1 and i.op in ("fetch", "drop")]
    for number in numbers:
        moved = list(program.instructions)
        own = moved.pop(number)
        moved.insert(number - 1 if own.op == "drop" else number + 1, own)  # past the neighbour that reads
        with pytest.raises(VerifyError, match=re.escape("(linear, layer 1): reads of parcels [1]")):
            check_held(replace(program, instructions=tuple(moved)), layer_of)


def test_numbers_stay(dense: Opened) -> None:
    plain, made = dense.programs, streamed(dense, (2,))
    np.testing.assert_array_equal(
        logits(ReferenceBackend(), dense, Programs(made, made)), logits(ReferenceBackend(), dense, plain)
    )
