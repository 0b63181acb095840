"""Logits and log-probabilities of a text's tokens, embeddings, and other named outputs, computed between the engine's
steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ostinato.backends.batch import Batch, Enter, Span, TableEdit
from ostinato.backends.batch_table import Kind
from ostinato.backends.sampling import Sampling
from ostinato.engine.engine import Engine
from ostinato.engine.records_table import UNREADABLE


def logits(engine: Engine, tokens: Sequence[int]) -> np.ndarray:
    """Float32 [len(tokens), vocab]; row i is what follows tokens[: i + 1]. Raises what `logit_rows` raises."""
    return np.concatenate([rows.copy() for _, rows in logit_rows(engine, tokens)])


def logprobs(engine: Engine, tokens: Sequence[int], first: int = 0) -> np.ndarray:
    """Float64 [len(tokens) - 1 - first]; element i is log p(tokens[first + i + 1] | tokens[: first + i + 1]).

    No more logits are held than one step makes. Raises what `logit_rows` raises.
    """
    parts = [_log_softmax_at(rows, tokens[at + 1 :]) for at, rows in logit_rows(engine, tokens[:-1], first)]
    return np.concatenate(parts)


def embedding(engine: Engine, tokens: Sequence[int]) -> np.ndarray:
    """Float32 [width] of a text that an encoder reads in one step. Raises what `logit_rows` raises."""
    made = [outputs["embedding"][0].copy() for _, outputs in _outputs(engine, tokens, [(0, len(tokens), 1)])]
    embedding: np.ndarray = made[0]
    return embedding


def token_outputs(engine: Engine, tokens: Sequence[int], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Named outputs with a row for each token, [len(tokens), width]. Raises what `logit_rows` raises, KeyError for a
    backend that does not hand them out."""
    rows = engine.plan.max_rows
    spans = [(at, min(at + rows, len(tokens)), 1) for at in range(0, len(tokens), rows)]
    parts = [{name: made[name].copy() for name in names} for _, made in _outputs(engine, tokens, spans)]
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def logit_rows(engine: Engine, tokens: Sequence[int], first: int = 0) -> Iterator[tuple[int, np.ndarray]]:
    """(position, float32 [n, vocab]) of every position from `first` on, n at a time; good until the next is asked for.
    All rows are prompt rows.

    Finishes the steps in flight first; running sequences may lose their KV and compute it again. Raises
    ValueError for no tokens or more than fit, BatchError for a token outside the vocabulary, RuntimeError for weights
    that cannot be read.
    """
    if tokens and not 0 <= first < len(tokens):
        raise ValueError(f"the first position is {first}; expected 0 to {len(tokens) - 1}")
    for start, outputs in _outputs(engine, tokens, list(_spans(engine, first, len(tokens)))):
        yield start, outputs["logits"]


def _outputs(
    engine: Engine, tokens: Sequence[int], spans: Sequence[tuple[int, int, int]]
) -> Iterator[tuple[int, Mapping[str, np.ndarray]]]:
    """(position, named outputs) of every span (start, end, logit rows) that wants some."""
    if not 1 <= len(tokens) <= engine.capacity:
        raise ValueError(f"{len(tokens)} tokens; expected 1 to {engine.capacity} (the context)")
    engine.drain()
    with engine.scheduler.lend(engine.paging.blocks_for(len(tokens))) as (slot, blocks):
        enters = [Enter(slot, len(tokens), Sampling(temperature=0))]
        tables = [TableEdit(cache, slot, 0, held) for cache, held in enumerate(blocks)]
        for start, end, wanted in spans:
            span = Span(slot, Kind.PROMPT, start, tokens[start:end], logit_rows=wanted)
            engine.executable.submit(Batch([span], enters, tables, want_logits=wanted > 0))
            result = engine.executable.collect()
            if reason := result.faults.get(slot):
                raise RuntimeError(UNREADABLE.format(reason))
            if wanted:
                yield start, result.outputs
            enters, tables = [], []


def _spans(engine: Engine, first: int, count: int) -> Iterator[tuple[int, int, int]]:
    """Rows before `first` as many a step as fit, the others as many as may have logits."""
    rows, logit_rows = engine.plan.max_rows, min(engine.plan.max_rows, engine.plan.max_logit_rows)
    yield from ((at, min(at + rows, first), 0) for at in range(0, first, rows))
    ends = ((at, min(at + logit_rows, count)) for at in range(first, count, logit_rows))
    yield from ((start, end, end - start) for start, end in ends)


def _log_softmax_at(rows: np.ndarray, tokens: Sequence[int]) -> np.ndarray:
    """log softmax(rows[i])[tokens[i]]: float32 [n, vocab] -> float64 [n]."""
    chosen = rows[np.arange(len(rows)), tokens[: len(rows)]].astype(np.float64)
    peaks = rows.max(axis=1)
    return chosen - peaks - np.log(np.exp(rows - peaks[:, None]).sum(axis=1, dtype=np.float64))
