"""Sampling settings of one sequence. What they mean is defined by backends/reference/sample.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite

from ostinato.backends.batch_table import MAX_LOGIT_BIAS, MAX_TOP_LOGPROBS


class SamplingError(ValueError):
    """A setting outside its range; the text names it, its value and the range."""


@dataclass(frozen=True)
class Sampling:
    """Settings in the order in which they act: bias, penalties, temperature, top-k, top-p, min-p, draw.

    The draw takes the best of log p + Gumbel noise; the noise of token t at a position comes from
    RNG(seed, choice, position, t), so an answer depends on nothing but these numbers and the logits.
    """

    temperature: float = 1.0  # 0: greedy
    top_k: int = 0  # keep the k most probable; 0: all
    top_p: float = 1.0  # keep the smallest set of at least this probability
    min_p: float = 0.0  # keep tokens of at least min_p x the best one's probability
    presence_penalty: float = 0.0  # subtracted once from tokens generated before
    frequency_penalty: float = 0.0  # subtracted per earlier occurrence
    repetition_penalty: float = 1.0  # divides (multiplies negative) logits of tokens seen anywhere before
    seed: int = 0  # 64 bits
    choice: int = 0  # which of n answers to one request
    logprobs: int = -1  # -1: none; n: log-probabilities of the token and of the n best
    logit_bias: tuple[tuple[int, float], ...] = field(default=())

    def check(self, vocab_size: int) -> None:
        """Raises SamplingError for the first setting out of range."""
        ranges = {
            "temperature": (self.temperature, 0.0, 100.0),
            "top_k": (self.top_k, 0, 2**31 - 1),
            "top_p": (self.top_p, 0.0, 1.0),
            "min_p": (self.min_p, 0.0, 1.0),
            "presence_penalty": (self.presence_penalty, -2.0, 2.0),
            "frequency_penalty": (self.frequency_penalty, -2.0, 2.0),
            "repetition_penalty": (self.repetition_penalty, 1e-3, 1e3),
            "seed": (self.seed, 0, 2**64 - 1),
            "choice": (self.choice, 0, 2**31 - 1),
            "logprobs": (self.logprobs, -1, MAX_TOP_LOGPROBS),
        }
        for name, (value, low, high) in ranges.items():
            if not (isfinite(value) and low <= value <= high):
                raise SamplingError(f"{name} is {value}; expected {low} to {high}")
        if len(self.logit_bias) > MAX_LOGIT_BIAS:
            raise SamplingError(f"logit_bias names {len(self.logit_bias)} tokens; at most {MAX_LOGIT_BIAS}")
        for token, bias in self.logit_bias:
            if not 0 <= token < vocab_size:
                raise SamplingError(f"logit_bias names token {token}; the vocabulary has {vocab_size}")
            if not (isfinite(bias) and -100.0 <= bias <= 100.0):
                raise SamplingError(f"logit_bias of token {token} is {bias}; expected -100 to 100")
