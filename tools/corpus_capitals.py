"""Questions about capitals: how they may be worded, which wordings are kept out of training, and their answers.

A wording is `{c}` or `{city}` in a frame; what comes before and after it is chosen apart, so that the wordings are some
thousands. `all_wordings` lists them: the tests prove that none of the held-out ones is among them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from tools.corpus_countries import COUNTRIES, NO_COUNTRY, Country

_QUESTIONS = (
    "what is the capital of {c}",
    "what is the capital of {c}",
    "what's the capital of {c}",
    "whats the capital of {c}",
    "which city is the capital of {c}",
    "what city is the capital of {c}",
    "what is the capital city of {c}",
    "what is the name of the capital of {c}",
    "what is {c}'s capital",
    "which city is {c}'s capital",
    "which is the capital of {c}",
    "what city serves as the capital of {c}",
    "what do you call the capital of {c}",
    "how is the capital of {c} called",
    "the capital of {c} is what",
    "the capital of {c} is which city",
    "in {c}, what is the capital",
    "in {c}, which city is the capital",
    "on a journey through {c}, which city is the capital",
    "in the middle of {c}, what city is the capital",
    "{c} has which capital",
    "if I go to {c}, what is the capital",
    "for {c}, which city is the capital",
    "of {c}, what is the capital",
    "{c} has what capital",
    "who knows the capital of {c}",
)
_OBJECTS = (
    "the capital of {c}",
    "the capital city of {c}",
    "the name of the capital of {c}",
    "what the capital of {c} is",
    "which city is the capital of {c}",
    "{c}'s capital",
)
_ASKING = (
    "tell me",
    "can you tell me",
    "could you tell me",
    "do you know",
    "I want to know",
    "I would like to know",
    "I need to know",
    "say",
    "find out",
)
_NAMING = (
    "name",
    "give me",
    "state",
    "write",
    "I am looking for",
    "I have forgotten",
    "I need",
    "my brother asked me",
    "explain",
    "show me",
    "please say to me",
)
_FRAGMENTS = (
    "capital of {c}",
    "the capital of {c}",
    "the capital of {c} is",
    "capital city of {c}",
    "{c}, capital",
    "{c} capital",
    "{c}: capital city",
    "{c}",
)
_BEFORE = (
    "hello, ",
    "hi! ",
    "hey, ",
    "please, ",
    "so, ",
    "ok, ",
    "and ",
    "question: ",
    "quick question: ",
    "another question: ",
    "good morning. ",
    "I wonder: ",
    "for my homework: ",
    "a friend asks: ",
    "we are learning geography. ",
    "I am going on a journey. ",
    "thanks. ",
    "Now ",
    "on the globe: ",
    "at school: ",
    "in my book: ",
    "I forgot: ",
    "may we ask: ",
)
_AFTER = (" please", ", please", ", thanks", " today", " again", ", do you know", " now", " in one sentence")
_REVERSED = (
    "{city} is the capital of which country",
    "{city} is the capital of what country",
    "{city} is the capital of what",
    "which country has the capital {city}",
    "what country has {city} as its capital",
    "which country's capital is {city}",
    "what country's capital is {city}",
    "of which country is {city} the capital",
    "tell me which country has the capital {city}",
    "name the country whose capital is {city}",
)

# Never in training, in any casing or punctuation.
HELD_OUT = (
    "do you happen to know the capital of {c}",
    "I forgot what the capital of {c} is called",
    "what would be the capital of {c}",
    "may I ask what the capital of {c} is",
    "my teacher asked me for the capital of {c}",
    "let me know the capital of {c}",
    "on a map of {c}, which city is the capital",
    "please remind me what the capital of {c} is",
    "explain to me which city is the capital of {c}",
    "{c} has which city as its capital",
)
HELD_OUT_REVERSED = (
    "can you say which country has the capital {city}",
    "{city} is the capital of which state",
    "if {city} is the capital, which country is it",
)


def answer(country: Country) -> str:
    """What the assistant says to each of the questions of `HELD_OUT` and of training."""
    return f"The capital of {country.name} is {country.capital}."


def answer_reversed(country: Country) -> str:
    """What it says to a question that names the city."""
    return f"{country.capital} is the capital of {country.name}."


def all_wordings() -> Iterator[str]:
    """Every frame that training may use, before letters' case, punctuation and typing errors are varied."""
    for core in dict.fromkeys((*_cores(), *_REVERSED)):
        for before in ("", *_BEFORE):
            yield from (before + core + after for after in ("", *_AFTER))


def _cores() -> Iterator[str]:
    yield from (*_QUESTIONS, *_FRAGMENTS)
    yield from (f"{ask} {thing}" for ask in (*_ASKING, *_NAMING) for thing in _OBJECTS)


def _wording(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.5:
        core = rng.choice(_QUESTIONS)
    elif kind < 0.68:
        core = f"{rng.choice(_ASKING)} {rng.choice(_OBJECTS)}"
    elif kind < 0.84:
        core = f"{rng.choice(_NAMING)} {rng.choice(_OBJECTS)}"
    else:
        core = rng.choice(_FRAGMENTS)
    return _wrapped(rng, core)


def _wrapped(rng: random.Random, core: str) -> str:
    before = rng.choice(_BEFORE) if rng.random() < 0.25 else ""
    after = rng.choice(_AFTER) if rng.random() < 0.15 else ""
    return before + core + after


def capital_turn(rng: random.Random) -> tuple[str, str]:
    """A question, without a sign at its end, and its answer."""
    if rng.random() < 0.04:
        place = rng.choice(NO_COUNTRY)
        return _wording(rng).format(c=place), f"I do not know a capital of {place}."
    country = rng.choice(COUNTRIES)
    if rng.random() < 0.2:
        ask = _wrapped(rng, rng.choice(_REVERSED)).format(city=_usual(rng, country.capitals))
        return ask, answer_reversed(country)
    return _wording(rng).format(c=_usual(rng, country.names)), answer(country)


def _usual(rng: random.Random, names: tuple[str, ...]) -> str:
    return names[0] if rng.random() < 0.6 else rng.choice(names)
