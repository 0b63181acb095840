"""Runs: many steps in one submission draw what single steps draw, and stop where each sequence ends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ostinato.backends.batch import Batch, Enter, Span, TableEdit
from ostinato.backends.batch_table import Kind
from ostinato.backends.contract import BatchError, StepResult
from ostinato.backends.sampling import Sampling
from tests.backends.webgpu.support import PLAN, VOCAB, compiled, needs_adapter

pytest.importorskip("wgpu", reason="wgpu is not installed")

from ostinato.backends.webgpu.executable import MAX_STEPS, WebGpuExecutable

pytestmark = needs_adapter
PROMPTS = [[5, 9, 2, 77], [3], list(range(30, 50))]
SETTINGS = [Sampling(temperature=0), Sampling(temperature=1.2, seed=4), Sampling(temperature=0.7, top_k=9, logprobs=2)]
BLOCKS = PLAN.blocks_per_sequence


def start(
    executable: WebGpuExecutable,
    limits: Sequence[int] = (2**31 - 1,) * 3,
    stops: Sequence[Sequence[int]] = ((), (), ()),
    blocks: Sequence[int] = (BLOCKS,) * 3,
) -> list[int]:
    """The prompts, each with its settings; the first token of each."""
    batch = Batch(
        [Span(slot, Kind.PROMPT, 0, prompt, 1, sample=True) for slot, prompt in enumerate(PROMPTS)],
        [Enter(slot, len(PROMPTS[slot]), SETTINGS[slot], limit=limits[slot], stops=stops[slot]) for slot in range(3)],
        [TableEdit(0, slot, 0, range(slot * BLOCKS, slot * BLOCKS + blocks[slot])) for slot in range(3)],
    )
    executable.submit(batch)
    return [int(token) for token in executable.collect().tokens[:, 0]]


def run(executable: WebGpuExecutable, steps: int, slots: Sequence[int] = (0, 1, 2)) -> StepResult:
    spans = [Span(slot, Kind.GENERATED, 0, None, 1, sample=True) for slot in slots]
    executable.submit(Batch(spans, steps=steps))
    return executable.collect()


@pytest.fixture(scope="module")
def singly() -> StepResult:
    """Twenty single steps, as one result."""
    executable = compiled()
    start(executable)
    results = [run(executable, 1) for _ in range(20)]
    executable.close()
    joined = {
        name: np.concatenate([getattr(r, name) for r in results], axis=1)
        for name in ("tokens", "logprobs", "top_ids", "top_logprobs")
    }
    return StepResult(slots=np.arange(3), counts=np.full(3, 20), outputs={}, failed=np.zeros(3, bool), **joined)


@pytest.mark.parametrize("lengths", [(16, 4), (1, 8, 2, 9)])
def test_runs_draw_what_single_steps_draw(singly: StepResult, lengths: tuple[int, ...]) -> None:
    executable = compiled()
    start(executable)
    at = 0
    for steps in lengths:
        result = run(executable, steps)
        span = slice(at, at + steps)
        assert result.counts.tolist() == [steps] * 3
        np.testing.assert_array_equal(result.tokens, singly.tokens[:, span])
        np.testing.assert_array_equal(result.logprobs, singly.logprobs[:, span])
        np.testing.assert_array_equal(result.top_ids, singly.top_ids[:, span])
        np.testing.assert_array_equal(result.top_logprobs, singly.top_logprobs[:, span])
        at += steps
    executable.close()


def test_a_run_is_one_submission(singly: StepResult) -> None:
    executable = compiled()
    start(executable)
    counters = executable.counters
    dispatches = [counters.dispatches]
    for steps in (1, MAX_STEPS):
        submissions, bytes_read = counters.submissions, counters.bytes_read
        run(executable, steps, slots=(0, 1))
        assert counters.submissions == submissions + 1
        assert counters.bytes_read == bytes_read + 16 * ((steps - 1) * PLAN.max_sequences + 2), "ids only"
        dispatches.append(counters.dispatches)
    single, several = np.diff(dispatches)
    assert several - 1 == MAX_STEPS * (single - 1), "`begin` once, every other phase once a step"
    assert MAX_STEPS >= 8
    executable.close()


def test_a_limit_a_stop_and_the_end_of_blocks(singly: StepResult) -> None:
    """Sequence 0 may draw up to position 9, 1 ends after its fifth token, 2 has blocks for 24 positions."""
    executable = compiled()
    stop = int(singly.tokens[1, 4])
    first = singly.tokens[1].tolist().index(stop) + 1
    start(executable, limits=(10, 10**6, 10**6), stops=((), (stop,), ()), blocks=(BLOCKS, BLOCKS, 3))
    result = run(executable, 16)
    wanted = [9 - len(PROMPTS[0]), first, 24 - len(PROMPTS[2])]
    assert result.counts.tolist() == wanted
    for found, single, count in zip(result.tokens, singly.tokens, wanted, strict=True):
        np.testing.assert_array_equal(found[:count], single[:count])
    assert run(executable, 4, slots=(0, 1)).counts.tolist() == [0, 0], "they have ended"
    executable.submit(Batch([], tables=[TableEdit(0, 2, 3, range(70, 79))]))
    executable.collect()
    result = run(executable, 4, slots=(2,))
    np.testing.assert_array_equal(result.tokens[0], singly.tokens[2, wanted[2] : wanted[2] + 4])
    executable.close()


def test_a_newcomer_joins_behind_a_run(singly: StepResult) -> None:
    """Its prompt is submitted while the run is in flight; a slot of the run is not."""
    executable = compiled()
    start(executable)
    spans = [Span(slot, Kind.GENERATED, 0, None, 1, sample=True) for slot in (0, 1)]
    executable.submit(Batch(spans, steps=6))
    table = TableEdit(0, 4, 0, range(60, 60 + BLOCKS))
    entered = Enter(4, 20, SETTINGS[2])
    with pytest.raises(BatchError, match="slot 0: its run has not been collected"):
        executable.submit(Batch(spans[:1]))
    executable.submit(Batch([Span(4, Kind.PROMPT, 0, PROMPTS[2], 1, sample=True)], [entered], [table]))
    np.testing.assert_array_equal(executable.collect().tokens, singly.tokens[:2, :6])
    assert executable.collect().counts.tolist() == [1]
    result = run(executable, 5, slots=(0, 1, 4))
    np.testing.assert_array_equal(result.tokens[:2], singly.tokens[:2, 6:11])
    np.testing.assert_array_equal(result.tokens[2], singly.tokens[2, :5])
    executable.close()


def test_logits_of_a_run_are_those_of_its_first_step() -> None:
    executable = compiled()
    start(executable)
    spans = [Span(slot, Kind.GENERATED, 0, None, 1, sample=True) for slot in (0, 2)]
    executable.submit(Batch(spans, steps=3, want_logits=True))
    result = executable.collect()
    assert result.outputs["logits"].shape == (2, VOCAB)
    assert int(result.outputs["logits"][0].argmax()) == result.tokens[0, 0]
    executable.close()


def test_a_run_that_is_too_long() -> None:
    executable = compiled()
    start(executable)
    with pytest.raises(BatchError, match="a run of 17 steps"):
        run(executable, MAX_STEPS + 1)
    executable.close()
