"""CUDA's append and attention, on the host: the reference's values, and the same bits by every path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from ostinato.backends.batch import Batch, Enter, Span, TableEdit
from ostinato.backends.batch_table import Kind
from ostinato.backends.contract import KVType, Plan
from ostinato.backends.cuda.machine import GENERATED_ONLY
from ostinato.backends.device.state_table import ATTEND_SPLIT, INACTIVE
from ostinato.backends.reference import ReferenceBackend
from ostinato.backends.sampling import Sampling
from ostinato.gguf.types_table import TensorType
from ostinato.program.builder import Builder
from ostinato.program.ir import CacheGroup, Programs
from tests.backends.cases import CASES, EXACT, HALF, OpCase, Weights, nmse, run_case
from tests.backends.cuda.host import HostBackend, HostMachine
from tests.backends.cuda.small import GRIDS
from tests.support import same_bits

VOCAB, WIDTH = 40, 16
ATTEND = [c for c in CASES if c.name.startswith("attend ") and c.kv_type is not KVType.Q8_0]
Floats = NDArray[np.float32]


@pytest.mark.parametrize("case", ATTEND, ids=lambda case: case.name)
def test_agrees_with_the_reference(case: OpCase) -> None:
    for found, wanted in zip(run_case(case, HostBackend()), run_case(case, ReferenceBackend()), strict=True):
        assert nmse(found, wanted) <= case.nmse


@dataclass(frozen=True)
class Heads:
    """Shape of an attention; `sharp` scales scores, so that some positions weigh nothing."""

    heads: int
    kv_heads: int
    key: int
    value: int
    kv_type: KVType
    block_size: int
    sharp: float = 1.0

    def machine(self, sequences: int = 6, context: int = 800, rows: int = 800) -> HostMachine:
        programs, weights = self.programs()
        return HostMachine(programs, weights.tensors, self.plan(sequences, context, rows))

    def plan(self, sequences: int = 6, context: int = 800, rows: int = 800) -> Plan:
        each = -(-context // self.block_size)
        return Plan(
            max_rows=rows, max_logit_rows=rows, max_sequences=sequences, context=context, blocks=sequences * each,
            block_size=self.block_size, kv_type=self.kv_type,
        )  # fmt: skip

    def programs(self) -> tuple[Programs, Weights]:
        w = Weights(seed=self.heads)
        b = Builder(w.tensors)
        b.caches.extend(CacheGroup(name, 2, self.kv_heads, self.key, self.value) for name in ("other", "full"))
        x = b.add("embed", weights=(w.normal("table", (VOCAB, WIDTH), TensorType.F32, scale=1.0),))
        widths = {"q": self.heads * self.key, "k": self.kv_heads * self.key, "v": self.kv_heads * self.value}
        q, k, v = (
            b.add("linear", x, weights=(w.normal(name, (n, WIDTH), TensorType.F32, scale=0.5), None))
            for name, n in widths.items()
        )
        b.add("append", k, v, cache=1, index=1)
        out = b.add(
            "attend", q, cache=1, index=1, heads=self.heads, kv_heads=self.kv_heads, key_dim=self.key,
            value_dim=self.value, scale=self.sharp * self.key**-0.5,
        )  # fmt: skip
        out = b.add("select", out)
        program = b.program("attend", {"logits": out}, b.width(out))
        return Programs(program, program), w


SHAPES = (
    Heads(8, 2, 16, 24, KVType.F16, 16),
    Heads(7, 1, 20, 6, KVType.F16, 5, sharp=4.0),  # keys in no whole runs of 16 bytes; heads in tiles of 4 and 3
    Heads(2, 2, 256, 256, KVType.F16, 16),
    Heads(3, 3, 6, 130, KVType.F32, 48),
    Heads(6, 2, 128, 66, KVType.F32, 7, sharp=9.0),
)


def entered(plan: Plan, slots: Sequence[int]) -> tuple[list[Enter], list[TableEdit]]:
    """Slots with blocks for the whole context, scattered over the pool and backwards."""
    tables = [TableEdit(1, slot, 0, range(slot, plan.blocks, plan.max_sequences)[::-1]) for slot in slots]
    return [Enter(slot, 0, Sampling()) for slot in slots], tables


def tokens(count: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(0, VOCAB, count).tolist()


def feed(host: HostMachine, spans: Sequence[Span], fresh: bool = True) -> Floats:
    """The attention's values of every row of `spans`."""
    enters, tables = entered(host.plan, [span.slot for span in spans]) if fresh else ([], [])
    batch = Batch(spans, enters, tables)
    host.step(batch)
    return host.logits(batch).copy()


def span(slot: int, ids: Sequence[int], start: int = 0, kind: Kind = Kind.PROMPT) -> Span:
    return Span(slot, kind, start, ids, logit_rows=len(ids))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_long_contexts_in_any_chunks(shape: Heads) -> None:
    """Several splits: against the reference; then, whole rows or divided, chunked or not, the same bits."""
    count = 2 * ATTEND_SPLIT + 40
    ids, host = tokens(count), shape.machine()
    whole = feed(host, [span(0, ids)])
    programs, weights = shape.programs()
    executable = ReferenceBackend().compile(programs, weights.tensors, shape.plan())
    enters, tables = entered(host.plan, [0])
    executable.submit(Batch([span(0, ids)], enters, tables, want_logits=True))
    assert nmse(whole, executable.collect().outputs["logits"]) <= (EXACT if shape.kv_type is KVType.F32 else HALF)

    feed(host, [span(1, ids[:255])])
    for start, stop in ((255, 256), (256, 257), (257, 262)):  # divided: no more rows than sequences
        found = feed(host, [span(1, ids[start:stop], start, Kind.GENERATED)], fresh=False)
        assert same_bits(found, whole[start:stop]), (start, stop)
    for start, stop in ((262, 300), (300, 530)):  # whole: more rows
        found = feed(host, [span(1, ids[start:stop], start, Kind.GENERATED)], fresh=False)
        assert same_bits(found, whole[start:stop]), (start, stop)
    assert same_bits(feed(host, [span(1, ids[530:], 530)], fresh=False), whole[530:])


@pytest.mark.parametrize("shape", SHAPES[:3], ids=str)
def test_neither_the_grid_nor_company_changes_a_bit(shape: Heads) -> None:
    ids = [tokens(300, 1), tokens(280, 2), tokens(5, 3)]
    alone = [feed(shape.machine(), [span(0, some)]) for some in ids]
    for blocks, warps in (*GRIDS, (4, 8)):
        host = shape.machine()
        host.blocks, host.warps = blocks, warps
        feed(host, [span(slot, some[:-1]) for slot, some in enumerate([*ids, tokens(8, 4)])])
        rows = [span(slot, some[-1:], len(some) - 1, Kind.GENERATED) for slot, some in enumerate(ids)]
        found = feed(host, [span(3, tokens(6, 5), 7), *rows], fresh=False)[6:]
        for row, wanted in zip(found, alone, strict=True):
            assert same_bits(row, wanted[-1]), (blocks, warps)


def test_prompt_rows_may_be_left_to_another_kernel() -> None:
    """With the flag, attend writes no prompt row, and divided rows are merged as ever."""
    host = SHAPES[0].machine()
    wanted = feed(host, [span(0, tokens(9)), span(1, tokens(2), kind=Kind.GENERATED)])
    attend = next(number for number, call in enumerate(host.calls) if call.phase == "attend")
    out = host.floats(int(host.calls[attend].words["out"]), 11, 8 * 24)
    for rows in (9, 0):
        out[:] = np.nan
        for number in range(attend, attend + 3):
            host.run(number, flags=GENERATED_ONLY if rows else 0)
        assert np.isnan(out[:rows]).all()
        assert same_bits(out[rows:], wanted[rows:])


def test_inactive_rows_write_nothing_and_attend_to_nothing() -> None:
    """As where they are not in the step at all."""
    host, others = SHAPES[0].machine(), SHAPES[0].machine()
    rows = [span(slot, [7], 4, Kind.GENERATED) for slot in range(3)]
    for machine in (host, others):
        feed(machine, [span(slot, tokens(4, slot)) for slot in range(3)])
    wanted = feed(others, [rows[0], rows[2]], fresh=False)
    batch = Batch(rows)
    host.begin(batch)
    for number, call in enumerate(host.lowered[-1].calls, start=len(host.calls) - len(host.lowered[-1].calls)):
        host.run(number)
        if call.phase == "rows":
            host.words("state")[host.layout["row_position"] + 1] = INACTIVE
    np.testing.assert_array_equal(host.words("kv full"), others.words("kv full"))
    assert same_bits(host.logits(batch)[[0, 2]], wanted)
    assert (host.logits(batch)[1] == 0).all()


def test_other_layers_and_groups_are_left_alone() -> None:
    host = SHAPES[3].machine()
    feed(host, [span(0, tokens(50))])
    assert (host.words("kv other") == -1).all()
    layers = host.words("kv full").reshape(2, -1)
    assert (layers[0] == -1).all()
    assert (layers[1] != -1).sum() == 50 * 3 * (6 + 130)


def test_a_nan_stays_in_its_sequence() -> None:
    host = SHAPES[0].machine()
    wanted = feed(host, [span(0, tokens(20)), span(1, tokens(20, 5))])
    table = next(array for name, array in host.arrays.items() if "table" in name).bytes.view(np.float32)
    table.reshape(VOCAB, WIDTH)[VOCAB - 1] = np.nan
    ids = [token if token != VOCAB - 1 else 0 for token in tokens(20, 5)]
    clean = feed(host, [span(0, [VOCAB - 1] * 20), span(1, ids)])
    assert np.isnan(clean[:20]).all()
    assert np.isfinite(clean[20:]).all()
    assert np.isfinite(wanted).all()
