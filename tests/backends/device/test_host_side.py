"""What the host decides about a device: admission, budgets, results, and the layout of StepState."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ostinato.backends.batch import Batch, Enter, Span, TableEdit
from ostinato.backends.batch_table import MAX_LOGIT_BIAS, MAX_STOPS, Kind
from ostinato.backends.contract import BatchError, CompileError, Plan
from ostinato.backends.device.admission import Admission
from ostinato.backends.device.budget import Budget, make_budget
from ostinato.backends.device.lower import lower
from ostinato.backends.device.results import step_result
from ostinato.backends.device.state import initial, layout, packet_words
from ostinato.backends.device.state_table import BEST, DRAWN, LAYOUT, NO_NUMBER, NOTHING
from ostinato.backends.sampling import Sampling
from tests.backends.cases import CASES

PLAN = Plan(max_rows=32, max_logit_rows=8, max_sequences=4, context=64, blocks=8, block_size=8)
VOCAB = 50


def admission() -> Admission:
    return Admission(PLAN, caches=1, vocab_size=VOCAB, tokens=VOCAB, max_steps=16)


def prompt(slot: int, count: int, blocks: int, start: int = 0) -> Batch:
    span = Span(slot, Kind.PROMPT, start, [1] * count, 1, sample=True)
    return Batch([span], [Enter(slot, count, Sampling())], [TableEdit(0, slot, 0, range(blocks))])


def decode(*slots: int, steps: int = 1) -> Batch:
    return Batch([Span(slot, Kind.GENERATED, 0, None, 1, sample=True) for slot in slots], steps=steps)


def refused(batches: Sequence[Batch], match: str) -> None:
    gate = admission()
    for batch in batches[:-1]:
        gate.admit(batch)
    with pytest.raises(BatchError, match=match):
        gate.admit(batches[-1])


def test_a_generated_row_needs_a_block() -> None:
    refused([prompt(0, 8, blocks=1), decode(0)], "slot 0: the block table ends before position 9")


def test_the_context_ends() -> None:
    refused([prompt(0, 31, blocks=8), prompt(0, 31, blocks=8, start=40)], r"positions 40\+31; the context is 64")
    gate = admission()
    gate.admit(prompt(0, 32, blocks=8))
    gate.admit(Batch([Span(0, Kind.GENERATED, 32, [1] * 32, 1, sample=True)]))
    with pytest.raises(BatchError, match="slot 0: position 65; the context is 64"):
        gate.admit(decode(0))


def test_a_refused_batch_changes_nothing() -> None:
    gate = admission()
    gate.admit(prompt(0, 7, blocks=1))
    with pytest.raises(BatchError, match="slot 1: the block table ends"):
        gate.admit(decode(0, 1))
    gate.admit(decode(0))  # its eighth row: had the refused batch counted, this would be the ninth


def test_a_slot_in_a_run_waits_until_it_is_collected() -> None:
    gate = admission()
    gate.admit(prompt(0, 6, blocks=2))
    gate.admit(decode(0, steps=4))
    with pytest.raises(BatchError, match="slot 0: its run has not been collected"):
        gate.admit(decode(0))
    gate.admit(prompt(1, 4, blocks=1))  # a newcomer may come
    gate.admit(Batch([]))
    gate.collected([0], [3])
    gate.admit(decode(0, steps=16))


@pytest.mark.parametrize(
    ("batch", "match"),
    [
        (Batch([], [Enter(9, 1, Sampling())]), "slot 9: the plan has 4 slots"),
        (Batch([], [Enter(0, 1, Sampling(temperature=float("nan")))]), "temperature is nan"),
        (Batch([], [Enter(0, 1, Sampling(), history=[VOCAB])]), "a history token outside the vocabulary of 50"),
        (Batch([], [Enter(0, 1, Sampling(), stops=range(MAX_STOPS + 1))]), "9 stop tokens; at most 8"),
        (Batch([], [Enter(0, 1, Sampling(logit_bias=((1, 0.0),) * (MAX_LOGIT_BIAS + 1)))]), "at most 1024"),
        (Batch([], tables=[TableEdit(1, 0, 0, [0])]), "cache 1, which is not declared"),
        (Batch([], tables=[TableEdit(0, 0, 2, [0])]), "table entries from 2 on; 0 are known"),
        (Batch([], tables=[TableEdit(0, 0, 0, [8])]), r"a block outside 0\.\.8"),
        (Batch([], masks=[(0, np.zeros(2, np.uint32))]), "a mask that allows no token"),
        (Batch([], masks=[(0, np.array([0, 1 << 31], np.uint32))]), "a mask that allows no token"),
        (Batch([], masks=[(0, np.ones(1, np.uint32))]), r"a mask uint32 \[1\] for a vocabulary of 50"),
        (Batch([], masks=[(0, np.ones(2, np.float32))]), r"a mask float32 \[2\] for a vocabulary of 50: uint32 \[2\]"),
        (Batch([], masks=[(0, np.ones((2, 1), np.uint32))]), r"a mask uint32 \[2, 1\]"),
        (Batch([], masks=[(0, np.ones(2, np.uint32))] * 2), "a slot has its mask twice"),
        (Batch([], [Enter(0, 1, Sampling())] * 2), "a slot enters twice"),
        (Batch([], tables=[TableEdit(0, 0, 0, [0]), TableEdit(0, 0, 1, [1])]), "table is edited twice"),
        (Batch([], [Enter(0, 1 << 31, Sampling())]), "slot 0: a prompt length, limit or stop token"),
        (Batch([], [Enter(0, 1, Sampling(), limit=1 << 40)]), "slot 0: a prompt length, limit or stop token"),
        (Batch([], [Enter(0, 1, Sampling(), stops=[1 << 31])]), "slot 0: a prompt length, limit or stop token"),
        (decode(0, steps=17), "a run of 17 steps; this executable takes 1 to 16"),
        (Batch([Span(0, Kind.PROMPT, 0, [1], 1, True)], steps=2), "a run has only single generated rows"),
    ],
)
def test_hostile_batches(batch: Batch, match: str) -> None:
    refused([batch], match)


def test_sections_of_stepstate_do_not_overlap() -> None:
    words = layout(PLAN, caches=2, vocab=VOCAB, max_steps=16)
    assert tuple(words) == LAYOUT.words
    sections = [words[name] for name in LAYOUT.words[LAYOUT.index("row_slot") :]]
    assert sections == sorted(set(sections))
    state = initial(words)
    assert len(state) == words["length"]
    assert (state[words["table"] : words["bias"]] == -1).all()


def test_the_longest_packet_fits() -> None:
    bias = tuple((token % VOCAB, 1.0) for token in range(MAX_LOGIT_BIAS))
    enters = [Enter(s, 64, Sampling(logit_bias=bias), range(50), stops=range(MAX_STOPS)) for s in range(4)]
    tables = [TableEdit(0, slot, 0, range(8)) for slot in range(4)]
    masks = [(slot, np.ones(2, np.uint32)) for slot in range(4)]
    spans = [Span(slot, Kind.PROMPT, 0, [1] * 8, 1, True) for slot in range(4)]
    packet = Batch(spans, enters, tables, masks).encode()
    assert len(packet) <= packet_words(PLAN, caches=1, vocab=VOCAB)


def test_results_of_a_run() -> None:
    drawn = np.zeros((3, 2, len(DRAWN.words)), dtype=np.int32)
    drawn[:, 0, DRAWN.index("token")] = [5, 6, 7]
    drawn[:, 1, DRAWN.index("token")] = [8, NO_NUMBER, NOTHING]
    drawn[:, 1, DRAWN.index("slot")] = 3
    best = np.full((3, 2, len(BEST.words)), -1, dtype=np.int32)
    best[1, 0, 0] = 42
    result = step_result(drawn, best)
    assert result.slots.tolist() == [0, 3]
    assert result.tokens[0].tolist() == [5, 6, 7]
    assert result.counts.tolist() == [3, 1]
    assert result.failed.tolist() == [False, True]
    assert result.top_ids[0, 1, 0] == 42


def test_a_budget_names_what_would_fit() -> None:
    budget = Budget(weights=600_000_000, kv=800_000_000, arena=50_000_000, step=1_000_000)
    budget.check("cuda", 1_451_000_000, PLAN)
    with pytest.raises(CompileError, match=r"needs 1.45 GB .*weights 600.00 MB.*; 1.05 GB are there. KV for 32 pos"):
        budget.check("cuda", 1_052_000_000, PLAN)
    with pytest.raises(CompileError, match=r"Even without KV it needs 651.00 MB"):
        budget.check("cuda", 10_000, PLAN)


def test_a_budget_counts_packed_weights_once() -> None:
    case = next(case for case in CASES if case.name == "linear Q4_K 130x1024")
    programs, tensors = case.programs()
    program = lower(programs.decode, tensors, PLAN)
    budget = make_budget(programs, [program, program], tensors, PLAN, max_steps=16)
    assert budget.weights == 96 * 1024 * 4 + 130 * 1024 // 256 * 144
    assert budget.arena == 4 * program.arena_words
