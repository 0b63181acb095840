"""Drives an executable without the engine: prompts in, tokens out, blocks given out in order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ostinato.backends.batch import Batch, Enter, Span, TableEdit
from ostinato.backends.batch_table import Kind
from ostinato.backends.contract import Executable, Plan
from ostinato.backends.sampling import Sampling

GREEDY = Sampling(temperature=0)


def enter(plan: Plan, slot: int, prompt_length: int, sampling: Sampling = GREEDY) -> tuple[Enter, TableEdit]:
    """Slot `slot` gets its own blocks for the whole context (one cache group)."""
    size = plan.blocks_per_sequence
    return Enter(slot, prompt_length, sampling), TableEdit(0, slot, 0, range(slot * size, (slot + 1) * size))


def generate(
    executable: Executable, plan: Plan, prompts: Sequence[Sequence[int]], count: int, sampling: Sampling = GREEDY
) -> list[list[int]]:
    """`count` tokens after each prompt, all sequences in every step, two steps in flight."""
    entered = [enter(plan, slot, len(prompt), sampling) for slot, prompt in enumerate(prompts)]
    executable.submit(
        Batch(
            [Span(slot, Kind.PROMPT, 0, prompt, 1, sample=True) for slot, prompt in enumerate(prompts)],
            [e for e, _ in entered],
            [t for _, t in entered],
        )
    )
    drawn = []
    for step in range(count - 1):
        executable.submit(
            Batch([Span(slot, Kind.GENERATED, len(p) + step, None, 1, sample=True) for slot, p in enumerate(prompts)])
        )
        drawn.append(executable.collect().tokens[:, 0])
    drawn.append(executable.collect().tokens[:, 0])
    return [list(map(int, row)) for row in np.stack(drawn, axis=1)]


def prompt_logits(executable: Executable, plan: Plan, tokens: Sequence[int], chunk: int) -> np.ndarray:
    """float32 [T, vocab] of a prompt fed in chunks."""
    parts = []
    for start in range(0, len(tokens), chunk):
        piece = tokens[start : start + chunk]
        first = [enter(plan, 0, len(tokens))] if start == 0 else []
        span = Span(0, Kind.PROMPT, start, piece, logit_rows=len(piece))
        executable.submit(Batch([span], [e for e, _ in first], [t for _, t in first], want_logits=True))
        parts.append(np.array(executable.collect().outputs["logits"]))
    return np.concatenate(parts)
