"""The device's StepState as the host makes it: where its sections lie, and its first contents."""

from __future__ import annotations

import numpy as np

from ostinato.backends.batch_table import (
    ENTER,
    HEADER,
    MASK,
    MAX_LOGIT_BIAS,
    MAX_STOPS,
    SPAN,
    TABLE,
)
from ostinato.backends.contract import Plan
from ostinato.backends.device.state_table import BEST, DRAW, DRAWN, LAYOUT, SLOT, STEP


def layout(plan: Plan, caches: int, vocab: int, max_steps: int) -> dict[str, int]:
    """The Layout record by word: the plan's limits, and the word at which each section begins."""
    words = {
        "max_rows": plan.max_rows, "max_logit_rows": plan.max_logit_rows, "max_sequences": plan.max_sequences,
        "max_steps": max_steps, "context": plan.context, "blocks": plan.blocks, "block_size": plan.block_size,
        "blocks_per_sequence": plan.blocks_per_sequence, "caches": caches, "vocab": vocab,
    }  # fmt: skip
    sizes = {
        "row_slot": plan.max_rows,
        "row_position": plan.max_rows,
        "row_token": plan.max_rows,
        "logit_row": plan.max_logit_rows,
        "draw": plan.max_sequences * len(DRAW.words),
        "slot": plan.max_sequences * len(SLOT.words),
        "history": plan.max_sequences * (plan.context + 1),
        "table": plan.max_sequences * caches * plan.blocks_per_sequence,
        "bias": plan.max_sequences * MAX_LOGIT_BIAS * 2,
        "stops": plan.max_sequences * MAX_STOPS,
    }
    at = len(LAYOUT.words) + len(STEP.words)
    for section, size in sizes.items():
        words[section] = at
        at += size
    return words | {"length": at}


def initial(words: dict[str, int]) -> np.ndarray:
    """The buffer's first contents, int32 [words]: the Layout record, then zeros; block tables without blocks."""
    state = np.zeros(words["length"], dtype=np.int32)
    state[: len(LAYOUT.words)] = [words[name] for name in LAYOUT.words]
    state[words["table"] : words["bias"]] = -1
    return state


def packet_words(plan: Plan, caches: int, vocab: int) -> int:
    """Words of the longest packet (Batch.encode) that the plan and the contract allow."""
    records = len(SPAN.words) + len(ENTER.words) + caches * len(TABLE.words) + len(MASK.words)
    pool = plan.context + caches * plan.blocks_per_sequence + 2 * MAX_LOGIT_BIAS + MAX_STOPS + -(-vocab // 32)
    return len(HEADER.words) + plan.max_sequences * (records + pool) + plan.max_rows


def result_words(plan: Plan, max_steps: int) -> tuple[int, int]:
    """Words of the result buffer: of all Drawn, and of all Best that follow them."""
    draws = max_steps * plan.max_sequences
    return draws * len(DRAWN.words), draws * len(BEST.words)
