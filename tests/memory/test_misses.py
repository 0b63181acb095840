"""When a miss is computed from a copy, what of a budget is for copies, and which files are refused as copies."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.write_model import write_model
from ostinato import _memory
from ostinato.cli import options
from ostinato.engine.loading import Options, PlanError, open_model
from ostinato.engine.process import decode_options, encode_options
from ostinato.gguf.reader import open_gguf
from ostinato.memory.budget import COPIES_PART, plan
from ostinato.memory.coarse import CoarseError
from ostinato.memory.division import Division
from ostinato.memory.options import COARSE_SHARE
from ostinato.memory.parcels import Extent, Parcel, Parcels
from tests.memory.test_coarse import write_changed
from tests.memory.worlds import BLOCK, ScriptedSource, ints, world
from tests.support import BUILTIN
from tools.llama_files import LlamaShape

RATE = 1e6  # bytes a second
OPTIONS = Options(backend="cpu", context=64, max_sequences=1, memory="4GiB")
DENSE = LlamaShape(layers=1, width=64, heads=2, kv_heads=2, feed_forward=64, vocab=300, context=64)
EXPERTS = replace(DENSE, experts=4, experts_used=2)


def rule(least_saving: float = 0.0, most_share: float = 0.5, latency: float = 0.0) -> _memory.MissRule:
    return _memory.MissRule(latency, RATE, least_saving, most_share)


def test_a_read_waits_for_those_before_it() -> None:
    assert rule(latency=0.5).wait(0, int(RATE)) == 1.5
    assert rule(latency=0.5).wait(int(RATE), int(RATE)) == 2.5
    assert rule(latency=0.5).wait(int(RATE), 0) == 0, "what is there is not waited for"


def test_the_rule() -> None:
    """Parcels 0 and 1 are large, 2 and 3 their copies."""
    w = world(4)
    for parcel, blocks in enumerate((40, 40, 10, 10)):
        w.extents[parcel] = [(0, blocks * BLOCK)]
    source = ScriptedSource(np.zeros(40 * BLOCK, np.uint8))
    store = w.store(source, slots=2, chunk=BLOCK)
    saved = 30 * BLOCK / RATE  # seconds, of one miss
    pair = [(0, 2, 0.3), (1, 3, 0.1)]
    assert store.decide(rule(), pair) == [True, True]
    assert store.decide(rule(least_saving=0.9 * saved), pair) == [True, True]
    assert store.decide(rule(least_saving=1.1 * saved), pair) == [False, False]
    assert store.decide(rule(most_share=0.2), pair) == [False, True]
    assert store.decide(rule(most_share=0.0), pair) == [False, False]
    request = _memory.Request(store)
    request.want(ints([0]))
    assert request.wait(0) == ""
    assert store.decide(rule(), pair) == [False, True], "what is resident is computed with"
    request.clear()


def test_what_has_been_read_counts_less() -> None:
    """A read that is under way, and waits in the middle: what is left of it is less than its copy has."""
    w = world(2)
    w.extents = [[(0, 40 * BLOCK)], [(0, 10 * BLOCK)]]
    source = ScriptedSource(np.zeros(40 * BLOCK, np.uint8))
    store = w.store(source, slots=2, chunk=BLOCK, threads=1)
    gate_at = 35
    reads = source.read

    def read(offset: int, to: np.ndarray) -> None:
        if offset == gate_at * BLOCK:
            source.gate.clear()
        reads(offset, to)

    source.read = read  # type: ignore[method-assign]
    assert store.decide(rule(), [(0, 1, 0.1)]) == [True]
    request = _memory.Request(store)
    request.want(ints([0]))
    for _ in range(gate_at + 1):
        source.began.acquire()
    assert store.decide(rule(), [(0, 1, 0.1)]) == [False]
    source.gate.set()
    assert request.wait(0) == ""
    request.clear()


@pytest.mark.parametrize("least", [0.5, 1.5])
def test_a_read_does_not_wait_for_itself(least: float) -> None:
    """Of which one block is under way, while the copy is there."""
    w = world(2)
    w.extents = [[(0, 40 * BLOCK)], [(0, 10 * BLOCK)]]
    source = ScriptedSource(np.zeros(40 * BLOCK, np.uint8))
    store = w.store(source, slots=2, chunk=BLOCK, threads=1)
    request = _memory.Request(store)
    request.want(ints([1]))
    assert request.wait(1) == ""
    reads = source.read

    def read(offset: int, to: np.ndarray) -> None:
        if offset == 39 * BLOCK:
            source.gate.clear()
        reads(offset, to)

    source.read = read  # type: ignore[method-assign]
    request.want(ints([0]))
    for _ in range(50):
        source.began.acquire()
    decided = store.decide(rule(least_saving=least * BLOCK / RATE), [(0, 1, 0.1)])
    source.gate.set()
    assert decided == [least < 1]
    assert request.wait(0) == ""
    request.clear()


def parcels(copies: bool) -> Parcels:
    """24 parcels of two sizes in four layers, and as many copies of half the size."""
    rng = np.random.default_rng(0)
    sizes = [int(rng.choice([40, 60])) for _ in range(24)]
    own = [Parcel(p // 6, (Extent(0, 100 * p * BLOCK, size * BLOCK),)) for p, size in enumerate(sizes)]
    half = [Parcel(p // 6, (Extent(1, 100 * p * BLOCK, size * BLOCK // 2),)) for p, size in enumerate(sizes)]
    return Parcels((*own, *half), 1000, copies=24) if copies else Parcels(tuple(own), 1000)


@pytest.mark.parametrize("per_layer", [False, True])
def test_a_part_of_the_slots_is_for_copies(per_layer: bool) -> None:
    with_them, budget = parcels(True), parcels(False).nbytes * 3 // 4
    made = plan(with_them, budget, per_layer=per_layer)
    slots = made.slot_bytes
    for_copies = sum(pool.slot_bytes * pool.slots for pool in made.pools if pool.copies)
    assert slots <= budget - 1000
    assert 0 < for_copies <= max(slots // COPIES_PART, sum(2 * p.slot_bytes for p in made.pools if p.copies))
    for parcel, cache in enumerate(made.cache):
        assert made.pools[made.caches[cache].pool].copies == (parcel >= 24)
    assert not made.complete


def test_without_copies_nothing_changes() -> None:
    made = plan(parcels(False), parcels(False).nbytes // 2)
    assert not any(pool.copies for pool in made.pools)
    assert plan(parcels(True).without_copies(), parcels(False).nbytes // 2) == made


def test_slots_of_copies_do_not_move() -> None:
    made = plan(parcels(True), parcels(False).nbytes // 2)
    heat = np.ones(48)
    heat[24:] = 1000
    moved = Division(made).plan(heat, made.slot_bytes)
    for before, after in zip(made.pools, moved.pools, strict=True):
        assert (before.copies, before.slot_bytes) == (after.copies, after.slot_bytes)
        if before.copies:
            assert before.slots == after.slots


def test_a_budget_that_holds_everything_needs_no_copies() -> None:
    opened = open_model(BUILTIN, replace(OPTIONS, coarse=str(BUILTIN)))
    with opened.file:
        executable = opened.compile()
        assert executable.store is None
        executable.close()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (replace(OPTIONS, memory=None, coarse="x"), "coarse copies are for weights that stream"),
        (replace(OPTIONS, coarse="x", checksums="y"), "a coarse copy's would not be verified"),
        (replace(OPTIONS, coarse="x", coarse_share=0.0), "a share of 0 of a row's router weights"),
    ],
)
def test_options_that_do_not_fit_are_refused(given: Options, why: str) -> None:
    with pytest.raises(PlanError, match=why):
        open_model(BUILTIN, given)


def test_help_says_the_default_share() -> None:
    assert options.COARSE_SHARE == COARSE_SHARE


def test_options_reach_the_engine_process() -> None:
    given = replace(OPTIONS, coarse="x", coarse_share=0.25)
    assert decode_options(encode_options(given)) == given


def test_what_is_no_copy_is_refused(tmp_path: Path) -> None:
    def refused(copy: Path, why: str, model: Path = BUILTIN) -> None:
        with pytest.raises(CoarseError, match=why):
            open_model(model, replace(OPTIONS, coarse=str(copy)))

    names = ("dense", "experts", "wider", "changed", "lacking")
    dense, experts, wider, changed, lacking = (tmp_path / f"{name}.gguf" for name in names)
    write_model(dense, DENSE, "Q8_0", "small")
    write_model(experts, EXPERTS, "Q8_0", "small")
    write_model(wider, replace(EXPERTS, feed_forward=128), "Q8_0", "small")
    with open_gguf(BUILTIN) as file:
        norm = file.tensors["blk.2.ffn_norm.weight"]
        write_changed(file, changed, {norm.name: np.roll(norm.data, 4)})
        write_changed(file, lacking, {}, "blk.3.ffn_up_exps.weight")
    refused(dense, "has no experts that could be read from it", dense)
    refused(experts, "is of another model")
    refused(changed, "they differ in blk.2.ffn_norm.weight")
    refused(wider, r"blk.0.ffn_.*_exps.weight is \[4, .*128", experts)
    refused(lacking, "the file has no tensor 'blk.3.ffn_up_exps.weight'")


def test_a_copy_that_is_replaced_before_it_is_read_is_refused(tmp_path: Path) -> None:
    copy = tmp_path / "copy.gguf"
    shutil.copy(BUILTIN, copy)
    opened = open_model(BUILTIN, replace(OPTIONS, coarse=str(copy)))
    with opened.file:
        residency = opened.plan.residency
        assert residency is not None
        shutil.copy(BUILTIN, tmp_path / "other")
        (tmp_path / "other").replace(copy)
        few = replace(residency, budget=residency.held_bytes + 4_000_000)
        with pytest.raises(OSError, match=r"copy\.gguf: was replaced or changed"):
            few.open(0)
