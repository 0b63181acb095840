"""Runs are what they are for: one submission, however many steps, and nothing but ids comes back.

What a run means is tested with all backends: tests/backends/test_runs.py.
"""

from __future__ import annotations

import numpy as np

from ostinato.backends.batch import Batch, Enter, Span, TableEdit
from ostinato.backends.batch_table import Kind
from ostinato.backends.device.state_table import DRAWN
from ostinato.backends.sampling import Sampling
from ostinato.backends.webgpu.executable import MAX_STEPS, WebGpuExecutable
from tests.backends.webgpu.support import PLAN, compiled, needs_adapter

pytestmark = needs_adapter
SETTINGS = [Sampling(temperature=0), Sampling(temperature=1.2, seed=4)]
DRAWN_BYTES = 4 * len(DRAWN.words)


def run(executable: WebGpuExecutable, lengths: list[int]) -> tuple[np.ndarray, list[tuple[int, int, int]]]:
    """Two sequences after their prompts: tokens of runs of these lengths; submissions, dispatches and bytes of each."""
    size, counters, tokens, costs = PLAN.blocks_per_sequence, executable.counters, [], []
    executable.submit(
        Batch(
            [Span(slot, Kind.PROMPT, 0, [5, 9, slot], 1, sample=True) for slot in range(2)],
            [Enter(slot, 3, settings) for slot, settings in enumerate(SETTINGS)],
            [TableEdit(0, slot, 0, range(slot * size, (slot + 1) * size)) for slot in range(2)],
        )
    )
    executable.collect()
    for steps in lengths:
        before = (counters.submissions, counters.dispatches, counters.bytes_read)
        executable.submit(
            Batch([Span(slot, Kind.GENERATED, 0, None, 1, sample=True) for slot in range(2)], steps=steps)
        )
        tokens.append(executable.collect().tokens)
        after = (counters.submissions, counters.dispatches, counters.bytes_read)
        costs.append((after[0] - before[0], after[1] - before[1], after[2] - before[2]))
    return np.concatenate(tokens, axis=1), costs


def test_a_run_is_one_submission() -> None:
    executable = compiled()
    singles, costs = run(executable, [1] * 24)
    ((submissions, dispatches, bytes_read),) = set(costs)
    assert (submissions, bytes_read) == (1, 2 * DRAWN_BYTES)
    assert MAX_STEPS >= 8
    tokens, costs = run(executable, [MAX_STEPS, 8])
    np.testing.assert_array_equal(tokens, singles)
    for steps, cost in zip((MAX_STEPS, 8), costs, strict=True):
        once_a_step = steps * (dispatches - 1) + 1  # `begin` once
        draws = (steps - 1) * PLAN.max_sequences + 2  # from the first to the last
        assert cost == (1, once_a_step, draws * DRAWN_BYTES)
    executable.close()
