"""Logits of every position of a text, computed between the engine's steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ostinato.backends.batch import Batch, Enter, Span, TableEdit
from ostinato.backends.batch_table import Kind
from ostinato.backends.sampling import Sampling
from ostinato.engine.engine import Engine


def logits(engine: Engine, tokens: Sequence[int]) -> np.ndarray:
    """Float32 [len(tokens), vocab]; row i is what follows tokens[: i + 1]. All rows are prompt rows.

    Finishes the steps in flight first; running sequences may lose their KV and compute it again. Raises
    ValueError for no tokens or more than fit, BatchError for a token outside the vocabulary.
    """
    if not 1 <= len(tokens) <= engine.capacity:
        raise ValueError(f"{len(tokens)} tokens; expected 1 to {engine.capacity} (the context)")
    engine.drain()
    with engine.scheduler.lend(engine.paging.blocks_for(len(tokens))) as (slot, blocks):
        enters = [Enter(slot, len(tokens), Sampling(temperature=0))]
        tables = [TableEdit(cache, slot, 0, held) for cache, held in enumerate(blocks)]
        parts = []
        chunk = min(engine.plan.max_rows, engine.plan.max_logit_rows)
        for start in range(0, len(tokens), chunk):
            part = tokens[start : start + chunk]
            span = Span(slot, Kind.PROMPT, start, part, logit_rows=len(part))
            engine.executable.submit(Batch([span], enters, tables, want_logits=True))
            parts.append(engine.executable.collect().outputs["logits"].copy())
            enters, tables = [], []
    return np.concatenate(parts)
