"""bench/topics.py: texts repeat themselves as asked, and are the same for every engine."""

from __future__ import annotations

import numpy as np

from bench.topics import FIRST, Text

VOCAB = 4000


def test_a_text_is_made_of_words_and_its_seed_decides_it() -> None:
    tokens = Text().tokens(VOCAB, 500, seed=1)
    assert tokens.min() >= FIRST
    assert tokens.max() < VOCAB
    assert (tokens == Text().tokens(VOCAB, 500, seed=1)).all()
    assert (tokens != Text().tokens(VOCAB, 500, seed=2)).any()


def test_topics_last() -> None:
    text = Text(dwell=50.0, function_share=0.0)
    topics = text.topic_of(VOCAB)[text.tokens(VOCAB, 5000, seed=1)]
    assert topics.min() >= 0
    assert 0.01 < float((np.diff(topics) != 0).mean()) < 0.03  # one in fifty, less those that come back at once


def test_function_words_take_their_share() -> None:
    text = Text(function_share=0.4)
    topics = text.topic_of(VOCAB)[text.tokens(VOCAB, 5000, seed=1)]
    assert abs(float((topics < 0).mean()) - 0.4) < 0.03
