"""Perplexity: how surprised a model is by a text, exp of the mean negative log-probability of its tokens.

Counted as llama.cpp's llama-perplexity counts it, so that figures compare: the text in windows of `context` tokens
that do not overlap, BOS in place of each window's first token (where the vocabulary wants one), and the second half
of each window scored, so that every scored token has a context.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp, sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ostinato.api import Model

CONTEXT = 512  # tokens of a window, as llama-perplexity has it
MIN_CONTEXT = 8  # so that even one window gives an error of the mean


@dataclass(frozen=True)
class Estimate:
    """After so many windows, with so many tokens scored."""

    windows: int
    tokens: int
    nll: float  # mean negative log-probability, nats
    nll_error: float  # its standard error

    @property
    def perplexity(self) -> float:
        return exp(self.nll)

    @property
    def error(self) -> float:
        """Standard error of the perplexity, to first order."""
        return self.perplexity * self.nll_error


def estimates(model: Model, ids: Sequence[int], context: int = CONTEXT) -> Iterator[Estimate]:
    """The estimate after each whole window of the text; the last one counts. ValueError where not one fits."""
    if context < MIN_CONTEXT:
        raise ValueError(f"windows of {context} tokens; expected at least {MIN_CONTEXT}")
    if len(ids) < context:
        raise ValueError(f"the text has {len(ids)} tokens; it takes at least one window of {context} (--context)")
    total = squares = 0.0
    count = 0
    for index in range(len(ids) // context):
        nlls = -model.logprobs(_window(model, ids, index * context, context), context // 2)
        total, squares, count = total + float(nlls.sum()), squares + float((nlls**2).sum()), count + len(nlls)
        yield _estimate(index + 1, count, total / count, squares / count)


def _window(model: Model, ids: Sequence[int], start: int, context: int) -> list[int]:
    window = list(ids[start : start + context])
    if model.tokenizer.add_bos and model.tokenizer.bos_id is not None:
        window[0] = model.tokenizer.bos_id
    return window


def _estimate(windows: int, count: int, mean: float, mean_square: float) -> Estimate:
    variance = max(mean_square - mean * mean, 0.0)
    return Estimate(windows, count, mean, sqrt(variance / (count - 1)))
