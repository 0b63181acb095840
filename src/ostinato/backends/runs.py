"""What a run of decode steps means: the single steps that it stands for, of the slots that have not stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ostinato.backends.batch import Batch, Span
from ostinato.backends.batch_table import MAX_TOP_LOGPROBS
from ostinato.backends.contract import StepResult
from ostinato.backends.stepstate import StepState

MAX_STEPS = 64  # of a run on a backend that does its steps here


def run_steps(batch: Batch, step: Callable[[Batch], StepResult], state: StepState) -> StepResult:
    """The result of a batch of any number of steps; `step` does a single one and advances `state`."""
    results = [step(replace(batch, steps=1))]
    while len(results) < batch.steps and (spans := going(batch, results[-1], state)):
        results.append(step(Batch(spans)))
    return join(results)


def going(batch: Batch, last: StepResult, state: StepState) -> list[Span]:
    """The spans of a run that go on after its step `last`."""
    drawn = dict(zip(last.slots.tolist(), last.tokens[:, 0].tolist(), strict=True))  # nothing of those that stopped
    spans = [span for span in batch.spans if span.slot in drawn and state.goes_on(span.slot, drawn[span.slot])]
    return [replace(span, start=state.slots[span.slot].length) for span in spans]


def join(results: Sequence[StepResult]) -> StepResult:
    """Results of single steps as one, in the order of the first's spans; later ones may lack some of them."""
    first, n = results[0], len(results)
    if n == 1:
        return first
    row = {slot: index for index, slot in enumerate(first.slots.tolist())}
    tokens = np.full((len(row), n), -1, dtype=np.int32)
    logprobs = np.full((len(row), n), np.nan, dtype=np.float32)
    top_ids = np.full((len(row), n, MAX_TOP_LOGPROBS), -1, dtype=np.int32)
    top_logprobs = np.full((len(row), n, MAX_TOP_LOGPROBS), np.nan, dtype=np.float32)
    counts, failed = np.zeros_like(first.counts), np.zeros_like(first.failed)
    for step, result in enumerate(results):
        rows = [row[slot] for slot in result.slots.tolist()]
        tokens[rows, step], logprobs[rows, step] = result.tokens[:, 0], result.logprobs[:, 0]
        top_ids[rows, step], top_logprobs[rows, step] = result.top_ids[:, 0], result.top_logprobs[:, 0]
        counts[rows] += result.counts
        failed[rows] |= result.failed
    return StepResult(first.slots, tokens, counts, logprobs, top_ids, top_logprobs, first.outputs, failed)
