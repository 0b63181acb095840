"""What a device drew, as the contract's StepResult."""

from __future__ import annotations

import numpy as np

from ostinato.backends.batch_table import MAX_TOP_LOGPROBS
from ostinato.backends.contract import StepResult
from ostinato.backends.device.state_table import DRAWN, NO_NUMBER


def step_result(
    drawn: np.ndarray, best: np.ndarray | None = None, logits: np.ndarray | None = None, more: bool = False
) -> StepResult:
    """drawn int32 [steps, draws, len(DRAWN)], best int32 [steps, draws, len(BEST)] where a slot asked for
    log-probabilities; logits float32 [R, vocab] where asked for. The arrays may be reused afterwards."""
    steps, draws, _ = drawn.shape
    tokens = drawn[:, :, DRAWN.index("token")].T.copy()
    top_ids = np.full((draws, steps, MAX_TOP_LOGPROBS), -1, dtype=np.int32)
    top_logprobs = np.full((draws, steps, MAX_TOP_LOGPROBS), np.nan, dtype=np.float32)
    if best is not None:
        by_draw = best.transpose(1, 0, 2)
        top_ids[:] = by_draw[:, :, :MAX_TOP_LOGPROBS]
        top_logprobs[:] = by_draw[:, :, MAX_TOP_LOGPROBS:].copy().view(np.float32)
    return StepResult(
        slots=drawn[0, :, DRAWN.index("slot")].copy() if steps else np.zeros(0, np.int32),
        tokens=tokens,
        counts=(tokens >= 0).sum(axis=1).astype(np.int32),
        logprobs=drawn[:, :, DRAWN.index("logprob")].T.copy().view(np.float32),
        top_ids=top_ids,
        top_logprobs=top_logprobs,
        outputs={} if logits is None else {"logits": logits},
        failed=(tokens == NO_NUMBER).any(axis=1),
        more=more,
    )
