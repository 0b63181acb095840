"""The corpus is the same on every machine, does its sums right, and says nothing that is held out."""

from __future__ import annotations

import hashlib
import operator
import random
import re
from collections.abc import Iterator
from functools import cache

import pytest

from tools import corpus, corpus_capitals, corpus_facts, corpus_sums
from tools.corpus_countries import COUNTRIES
from tools.corpus_stories import story
from tools.corpus_sums import Sum
from tools.corpus_unseen import unseen_sums, unseen_wordings

OPERATIONS = {"plus": operator.add, "minus": operator.sub, "times": operator.mul, "divided by": operator.floordiv}
WORDS = {sign: kind for kind, signs in corpus_sums.SIGNS.items() for sign in (kind, *signs)}
EXPRESSION = re.compile(r"(?<!\d)(\d+) ?(plus|minus|times|divided by|[-+*x×/÷:]) ?(\d+)(?!\d)")


@cache
def documents(seed: int, count: int) -> tuple[str, ...]:
    rng = random.Random(seed)
    return tuple("".join(text for text, _ in corpus.pieces(corpus.document(rng))) for _ in range(count))


def plain(text: str) -> str:
    """Letters and digits in lower case, one space between words: casing and punctuation hide nothing."""
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))


def sums(text: str) -> Iterator[Sum]:
    """All that a text asks or says of the numbers that the model is taught."""
    spelt = re.sub(r"[a-z]+", lambda word: str(NUMBERS.get(word[0], word[0])), text.casefold())
    for a, sign, b in EXPRESSION.findall(spelt):
        found = Sum(int(a), WORDS[sign], int(b))
        if found.kind != "divided by" and max(found.a, found.b) <= corpus_sums.LARGEST:
            yield found


NUMBERS = {word: number for number, word in enumerate(corpus_sums.SMALL_WORDS)}


def test_a_seed_always_gives_the_same_corpus() -> None:
    digest = hashlib.sha256(repr(documents(5, 3000)).encode()).hexdigest()
    assert digest == "96f1df49f934a27e959d326c446f4302a74f2dbbaee0043b947f0db7c5dde8a4"


def test_seeds_differ() -> None:
    assert documents(1, 5) != documents(2, 5)


def test_sums_are_right() -> None:
    found = re.findall(r"(\d+) ([a-z ]+) (\d+) is (-?\d+)\.", "".join(documents(5, 3000)))
    assert len(found) > 5000
    assert all(OPERATIONS[kind](int(a), int(b)) == int(result) for a, kind, b, result in found)


def test_every_country_is_asked_about_and_answered() -> None:
    text = "".join(documents(5, 3000))
    missing = [country.name for country in COUNTRIES if corpus_capitals.answer(country) not in text]
    assert len(COUNTRIES) == 197
    assert not missing


def test_no_wording_that_training_can_choose_is_held_out() -> None:
    for module in (corpus_capitals, corpus_sums):
        chosen = {plain(wording) for wording in module.all_wordings()}
        assert len(chosen) > 1000
        held_out = (*module.HELD_OUT, *getattr(module, "HELD_OUT_REVERSED", ()))
        assert not chosen & {plain(wording) for wording in held_out}


def test_no_question_about_the_project_is_both_taught_and_held_out() -> None:
    taught = {plain(ask) for subject in corpus_facts.PROJECT for ask in subject.asks}
    assert not taught & {plain(ask) for subject in corpus_facts.PROJECT for ask in subject.held_out}


@pytest.mark.parametrize("kind", ["plus", "minus", "times"])
def test_a_tenth_of_the_sums_is_held_out(kind: str) -> None:
    every = [found for found in corpus_sums.every_sum(kind) if found.result >= 0]
    assert 0.08 < sum(found.held_out for found in every) / len(every) < 0.12


def test_no_order_of_a_held_out_addition_is_taught_and_every_product_is_in_one() -> None:
    for found in corpus_sums.every_sum("plus"):
        assert found.held_out == Sum(found.b, "plus", found.a).held_out
    for found in corpus_sums.every_sum("times"):
        assert not (found.held_out and Sum(found.b, "times", found.a).held_out)


def check_absence(texts: tuple[str, ...]) -> None:
    """No held-out wording or sum is anywhere in the texts."""
    text = " ".join(map(plain, texts))
    asked = [f" {plain(question.ask)} " for question in unseen_wordings()]
    assert not [ask for ask in asked if ask in text]
    found = {sum for text in texts for sum in sums(text)}
    assert len(found) > 700
    assert not [sum for sum in found if sum.held_out]
    assert not {sum for question in unseen_sums() for sum in sums(question.ask)} & found


def test_nothing_held_out_is_in_the_corpus() -> None:
    check_absence(documents(5, 3000))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_nothing_held_out_is_in_all_that_training_reads() -> None:
    """More documents than training reads in its default run, from the same seed (tools/README.md)."""
    check_absence(documents(2, 110_000))


def test_long_conversations_have_many_turns() -> None:
    """At least eight, but where a name is asked for, the conversation ends with it."""
    rng = random.Random(0)
    talks = [corpus.conversation(rng, many_turns=True).turns for _ in range(50)]
    assert all(len(talk) >= 8 or talk[-1][1].startswith("Your name is") for talk in talks)


def test_hero_and_friend_of_a_story_are_two() -> None:
    rng = random.Random(0)
    for _ in range(200):
        text = story(rng)
        hero = re.search(r"named (\w+)\.", text)
        end = re.search(r"(\w+) gave the .* back, and (\w+) smiled", text)
        assert hero
        assert end
        assert end[1] == hero[1] != end[2]
