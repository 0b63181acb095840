"""The corpus is the same on every machine, and does its sums right."""

from __future__ import annotations

import hashlib
import operator
import random
import re

from tools import corpus

OPERATIONS = {"plus": operator.add, "minus": operator.sub, "times": operator.mul}


def talks(seed: int, count: int) -> list[corpus.Conversation]:
    rng = random.Random(seed)
    return [corpus.conversation(rng) for _ in range(count)]


def test_a_seed_always_gives_the_corpus_that_the_shipped_model_learnt() -> None:
    digest = hashlib.sha256(repr(talks(5, 3000)).encode()).hexdigest()
    assert digest == "104059be3d039c71d8518320c1812d112e597cffd48188764e79234753ada6f4"


def test_seeds_differ() -> None:
    assert talks(1, 5) != talks(2, 5)


def test_sums_are_right() -> None:
    answers = [answer for talk in talks(3, 2000) for _, answer in talk.turns]
    sums = [match for answer in answers if (match := re.fullmatch(r"(\d+) (\w+) (\d+) is (\d+)\.", answer))]
    assert len(sums) > 200
    for match in sums:
        left, kind, right, result = match.groups()
        assert OPERATIONS[kind](int(left), int(right)) == int(result)


def test_long_conversations_have_many_turns() -> None:
    rng = random.Random(0)
    assert all(len(corpus.conversation(rng, many_turns=True).turns) >= 8 for _ in range(50))


def test_hero_and_friend_of_a_story_are_two() -> None:
    rng = random.Random(0)
    for _ in range(200):
        text = corpus.story(rng)
        hero = re.search(r"named (\w+)\.", text)
        end = re.search(r"(\w+) gave the .* back, and (\w+) smiled", text)
        assert hero
        assert end
        assert end[1] == hero[1] != end[2]
