"""Text for models of random weights: token ids with the statistics that make experts' use uneven and lasting.

A text dwells on a topic for a while and then goes to another. Most of its tokens are the topic's own words, by Zipf's
law; the rest are function words, which all topics share. Sampling from random weights gives nothing of the kind, so
both engines of a benchmark are given these ids one by one in place of what they would generate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FIRST = 259  # ids below are specials and bytes (tools/vocabularies.py)


@dataclass(frozen=True)
class Text:
    """The law of a text. A token's topic is part of the vocabulary's layout, not of the text: see `topic_of`."""

    topics: int = 16
    dwell: float = 64.0  # tokens on a topic, on average
    function_words: int = 256
    function_share: float = 0.3  # of all tokens
    skew: float = 1.0  # of Zipf's law

    def topic_of(self, vocab: int) -> NDArray[np.int64]:
        """The topic of every id [vocab]; -1 for function words and what is no word."""
        ids = np.arange(vocab)
        return np.where(ids < FIRST + self.function_words, -1, ids % self.topics)

    def tokens(self, vocab: int, count: int, seed: int) -> NDArray[np.int64]:
        """Ids [count]."""
        rng = np.random.default_rng(seed)
        topics = np.cumsum(rng.random(count) < 1 / self.dwell) + 1  # the number of the dwelling, from 1
        chosen = rng.integers(0, self.topics, count + 2)[topics]
        topic_of = self.topic_of(vocab)
        shared = FIRST + self._ranks(rng, self.function_words, count)
        own = np.empty(count, np.int64)
        for topic in range(self.topics):
            here = chosen == topic
            words = np.flatnonzero(topic_of == topic)
            own[here] = words[self._ranks(rng, len(words), int(here.sum()))]
        return np.where(rng.random(count) < self.function_share, shared, own)

    def _ranks(self, rng: np.random.Generator, words: int, count: int) -> NDArray[np.int64]:
        weights = np.arange(1, words + 1, dtype=np.float64) ** -self.skew
        return rng.choice(words, count, p=weights / weights.sum())


TEXT = Text()  # what the benchmark reads
