"""A text that is given token by token, as if it were generated: so two engines compute the same whatever they would
say, and what random weights would say does not matter. Standard library only: both interpreters import this file."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from bench.worker import Record, read_bytes

Step = Callable[[Sequence[int], int], object]  # ids of consecutive rows, and the position of the first
Counters = Callable[[], Mapping[str, float]]
WARM = 32  # tokens that are not measured, where they take less than the measurement's time


def forced(step: Step, prompt: Sequence[int], tokens: Sequence[int], limit: float, counters: Counters = dict) -> Record:
    """The prompt in one step, then `tokens` one by one. After WARM of them the rest is measured, for at most `limit`
    seconds: the time, the bytes that were read from the disk meanwhile, and what was counted besides."""
    began, read = time.perf_counter(), read_bytes()
    step(prompt, 0)
    record: Record = {"prefill_seconds": time.perf_counter() - began, "prefill_read_bytes": read_bytes() - read}
    first = _steps(step, tokens[:WARM], len(prompt), limit)
    before, began, read = counters(), time.perf_counter(), read_bytes()
    done = _steps(step, tokens[first:], len(prompt) + first, limit)
    spent, after = time.perf_counter() - began, counters()
    record |= {"tokens": done, "decode_seconds": spent, "decode_read_bytes": read_bytes() - read}
    return record | {name: after[name] - before[name] for name in after}


def _steps(step: Step, tokens: Sequence[int], position: int, limit: float) -> int:
    """How many began within `limit` seconds."""
    until = time.perf_counter() + limit
    for done, token in enumerate(tokens):
        if time.perf_counter() > until:
            return done
        step([token], position + done)
    return len(tokens)
