"""Batch: everything a step needs to know, and its wire form.

A batch names rows by sequence *slot*. What a slot carries from step to step (last token, position, history,
settings, block tables) lives in StepState on the device; a batch brings only changes to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ostinato.backends.batch_table import ENTER, FROM_STATE, Kind
from ostinato.backends.sampling import Sampling

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Span:
    """`count` consecutive rows of one sequence, from position `start`.

    `tokens` are their ids; None means one row whose token the last `sample` left in StepState. The last
    `logit_rows` rows produce logits; with `sample`, the last of them draws a token and advances the slot.
    A prompt is many PROMPT rows in any chunks; a token that was generated once is a GENERATED row for ever,
    also when it is computed again.
    """

    slot: int
    kind: Kind
    start: int
    tokens: Sequence[int] | None
    logit_rows: int = 0
    sample: bool = False
    adapter: int = 0

    @property
    def count(self) -> int:
        return 1 if self.tokens is None else len(self.tokens)


@dataclass(frozen=True, slots=True)
class Enter:
    """A sequence takes `slot`; `history` are the tokens of a cached prefix, whose rows will not come.

    `limit` and `stops` end the sequence within a run (`Batch.steps`): it draws no token at position `limit` or
    beyond, nor after one of `stops`. They mean nothing to a single step.
    """

    slot: int
    prompt_length: int
    sampling: Sampling
    history: Sequence[int] = ()
    limit: int = 2**31 - 1
    stops: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class TableEdit:
    """Entries `first ..` of a slot's block table in cache group `cache` (its index in the program)."""

    cache: int
    slot: int
    first: int
    blocks: Sequence[int]


@dataclass(frozen=True, slots=True)
class Batch:
    """One step, or a run of decode steps. Spans of kind PROMPT come first; a slot appears in at most one span.

    `steps` > 1 makes it a run: the step is done up to `steps` times, each drawing one more token per span, without
    the host in between. All its spans are single generated rows that take their token from StepState and sample.
    A slot stops drawing at its `Enter.limit`, after one of its `Enter.stops`, where its logits hold no number, and
    where its block table has no block for its next row (or its context ends); the run ends when every slot has
    stopped. This is looked at after each step: the first is done as a single step would be, and a slot that stopped
    in one run goes on in the next.
    """

    spans: Sequence[Span]
    enters: Sequence[Enter] = ()
    tables: Sequence[TableEdit] = ()
    masks: Sequence[tuple[int, np.ndarray]] = ()  # (slot, uint32 [ceil(vocab/32)])
    want_logits: bool = False
    steps: int = 1

    rows: int = field(init=False)
    prompt_rows: int = field(init=False)
    logit_rows: int = field(init=False)

    def __post_init__(self) -> None:
        prompt = sum(span.count for span in self.spans if span.kind is Kind.PROMPT)
        object.__setattr__(self, "prompt_rows", prompt)
        object.__setattr__(self, "rows", sum(span.count for span in self.spans))
        object.__setattr__(self, "logit_rows", sum(span.logit_rows for span in self.spans))

    def encode(self) -> np.ndarray:
        """The wire form: int32 words as laid out in batch_table."""
        return _Encoder(self).words()


class _Encoder:
    """Collects records and the pool they point into. Words are in the order of the records of batch_table."""

    def __init__(self, batch: Batch) -> None:
        import numpy as np

        self._np = np
        self._batch = batch
        self._pool: list[np.ndarray] = []
        self._pool_size = 0

    def words(self) -> np.ndarray:
        np, batch = self._np, self._batch
        spans = self._records([self._span(span) for span in batch.spans])
        enters = self._enters()
        tables = self._records([(t.cache, t.slot, t.first, len(t.blocks), self._put(t.blocks)) for t in batch.tables])
        masks = self._records([(slot, self._put(bits.view(np.int32))) for slot, bits in batch.masks])
        header = self._records([(
            len(batch.spans), len(batch.enters), len(batch.tables), len(batch.masks), self._pool_size,
            batch.rows, batch.prompt_rows, batch.logit_rows, int(batch.want_logits), batch.steps,
        )])  # fmt: skip
        return np.concatenate([header, spans, enters, tables, masks, *self._pool])

    def _records(self, rows: list[tuple[int, ...]]) -> np.ndarray:
        return self._np.array(rows, dtype=self._np.int32).reshape(-1)

    def _put(self, words: Sequence[int] | np.ndarray) -> int:
        start = self._pool_size
        self._pool.append(self._np.asarray(words, dtype=self._np.int32))
        self._pool_size += len(words)
        return start

    def _span(self, span: Span) -> tuple[int, ...]:
        tokens = FROM_STATE if span.tokens is None else self._put(span.tokens)
        return (
            span.slot, span.kind, span.start, span.count, tokens, span.logit_rows, int(span.sample), span.adapter,
        )  # fmt: skip

    def _enters(self) -> np.ndarray:
        np = self._np
        out = np.zeros((len(self._batch.enters), len(ENTER.words)), dtype=np.int32)
        for row, enter in zip(out, self._batch.enters, strict=True):
            self._enter(row, enter)
        return out.reshape(-1)

    def _enter(self, row: np.ndarray, enter: Enter) -> None:
        np, s = self._np, enter.sampling
        pairs = np.empty((len(s.logit_bias), 2), dtype=np.int32)
        pairs[:, 0] = [token for token, _ in s.logit_bias]
        pairs.view(np.float32)[:, 1] = [bias for _, bias in s.logit_bias]
        seed = np.array([s.seed], dtype=np.uint64).view(np.int32)
        integers = {
            "slot": enter.slot, "history": self._put(enter.history), "history_count": len(enter.history),
            "prompt_length": enter.prompt_length, "top_k": s.top_k, "seed_low": seed[0], "seed_high": seed[1],
            "choice": s.choice, "logprobs": s.logprobs, "bias": self._put(pairs.reshape(-1)), "bias_count": len(pairs),
            "limit": enter.limit, "stops": self._put(enter.stops), "stops_count": len(enter.stops),
        }  # fmt: skip
        floats = {
            "temperature": s.temperature, "top_p": s.top_p, "min_p": s.min_p, "presence": s.presence_penalty,
            "frequency": s.frequency_penalty, "repetition": s.repetition_penalty,
        }  # fmt: skip
        for name, value in integers.items():
            row[ENTER.index(name)] = value
        for name, number in floats.items():
            row.view(np.float32)[ENTER.index(name)] = number
