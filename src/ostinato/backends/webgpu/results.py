"""What comes back of a batch: which bytes are copied into a readback, and the StepResult they make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ostinato.backends.batch import Batch
from ostinato.backends.batch_table import Record
from ostinato.backends.contract import StepResult
from ostinato.backends.device.results import step_result
from ostinato.backends.device.state_table import BEST, DRAWN


@dataclass(frozen=True)
class Expected:
    """Sizes of what a batch returns. Draws stand at [step, draw] of the result, `stride` draws a step."""

    steps: int
    draws: int
    stride: int
    best: bool  # some slot asked for its best tokens
    logits: tuple[int, int]  # R and the vocabulary, or (0, 0)

    @property
    def drawn_bytes(self) -> int:
        return self._bytes(DRAWN) if self.draws else 0

    @property
    def best_bytes(self) -> int:
        return self._bytes(BEST) if self.draws and self.best else 0

    @property
    def logits_bytes(self) -> int:
        return 4 * self.logits[0] * self.logits[1]

    @property
    def nbytes(self) -> int:
        return self.drawn_bytes + self.best_bytes + self.logits_bytes

    def result(self, words: np.ndarray) -> StepResult:
        """Of int32 [nbytes / 4]: Drawn, Best, logits."""
        drawn, best, logits = np.split(words, np.cumsum([self.drawn_bytes, self.best_bytes]) // 4)
        return step_result(
            self._table(drawn, DRAWN),
            self._table(best, BEST) if len(best) else None,
            logits.view(np.float32).reshape(self.logits) if len(logits) else None,
        )

    def _bytes(self, record: Record) -> int:
        """From the first draw of the first step to the last of the last."""
        return 4 * len(record.words) * ((self.steps - 1) * self.stride + self.draws)

    def _table(self, words: np.ndarray, record: Record) -> np.ndarray:
        """[steps, draws, words of the record]."""
        table = np.zeros((self.steps, self.stride, len(record.words)), dtype=np.int32)
        table.reshape(-1)[: len(words)] = words
        return table[:, : self.draws]


def expect(batch: Batch, stride: int, vocab: int, logprobs: Mapping[int, int]) -> Expected:
    """`logprobs`: by slot, how many best tokens it asked for."""
    sampled = [span.slot for span in batch.spans if span.sample]
    return Expected(
        steps=batch.steps,
        draws=len(sampled),
        stride=stride,
        best=any(logprobs.get(slot, 0) > 0 for slot in sampled),
        logits=(batch.logit_rows, vocab) if batch.want_logits else (0, 0),
    )
