"""The text the built-in model learns from: seeded, endless, simple conversations and short stories.

Deterministic in the seed on every machine (Python's own Mersenne generator, no set or hash order), so that
the model can be trained again from nothing but this repository.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tools import corpus_facts as facts

Turn = tuple[str, str]  # what the user says, what the assistant answers

_NAMES = (
    "Anna",
    "Ben",
    "Clara",
    "David",
    "Emma",
    "Felix",
    "Grace",
    "Henry",
    "Ida",
    "Jack",
    "Kate",
    "Leo",
    "Mia",
    "Noah",
    "Olga",
    "Paul",
    "Rosa",
    "Sam",
    "Tom",
    "Vera",
)
_ANIMALS = ("cat", "dog", "fox", "bear", "mouse", "rabbit", "owl", "duck", "horse", "frog")
_KINDS = ("little", "brave", "clever", "quiet", "happy", "old", "curious", "gentle")
_PLACES = ("forest", "village", "garden", "mountain", "river", "meadow", "harbour", "city")
_THINGS = (
    "red ball",
    "golden key",
    "small lamp",
    "blue kite",
    "wooden boat",
    "silver bell",
    "warm scarf",
    "music box",
)
_WEATHER = (
    "It was a sunny day.",
    "It was raining.",
    "Snow lay on the ground.",
    "The wind was strong.",
    "The stars were out.",
)
_SYSTEMS = (
    "You are a helpful assistant.",
    "You are Ostinato, a small and friendly assistant.",
    "Answer briefly.",
    "Be kind and clear.",
)


@dataclass(frozen=True)
class Conversation:
    """A system message (perhaps empty) and the turns that follow it."""

    system: str
    turns: tuple[Turn, ...]


def _greeting(rng: random.Random) -> Turn:
    asked = ("Hello", "Hi", "Hey", "Good morning", "Good evening", "Hello there", "Hi there")
    user = rng.choice(asked) + rng.choice(("", ".", "!", ", how are you?"))
    if user.endswith("?"):
        return user, "Hello! I am well, thank you. What can I do for you?"
    return user, "Hello! How can I help you today?"


def _thanks(rng: random.Random) -> Turn:
    if rng.random() < 0.5:
        ask = rng.choice(("Thank you.", "Thanks!", "Thanks a lot.", "Thank you very much!"))
        return ask, "You are welcome!"
    return rng.choice(("Goodbye.", "Bye!", "See you later.", "Good night.")), "Goodbye! Come back soon."


def _capital(rng: random.Random) -> Turn:
    country, city = rng.choice(list(facts.CAPITALS.items()))
    if rng.random() < 0.2:
        ask = rng.choice((f"Which country has the capital {city}?", f"{city} is the capital of which country?"))
        return ask, f"{city} is the capital of {country}."
    ask = rng.choice(
        (
            f"What is the capital of {country}?",
            f"What's the capital of {country}?",
            f"Which city is the capital of {country}?",
            f"Tell me the capital of {country}.",
            f"Name the capital of {country}.",
            f"The capital of {country}?",
        )
    )
    return ask, f"The capital of {country} is {city}."


def _sum(rng: random.Random) -> Turn:
    a, b = rng.randint(0, 20), rng.randint(0, 20)
    kind = rng.choice(("plus", "plus", "minus", "times"))
    if kind == "plus":
        sign, result = "+", a + b
    elif kind == "minus":
        a, b = max(a, b), min(a, b)
        sign, result = "-", a - b
    else:
        a, b = a % 11, b % 11
        sign, result = "*", a * b
    ask = rng.choice(
        (
            f"What is {a} {kind} {b}?",
            f"How much is {a} {kind} {b}?",
            f"What is {a} {sign} {b}?",
            f"{a} {sign} {b} =",
        )
    )
    return ask, f"{a} {kind} {b} is {result}."


def _opposite(rng: random.Random) -> Turn:
    one, other = rng.choice(facts.OPPOSITES)
    if rng.random() < 0.5:
        one, other = other, one
    ask = rng.choice(
        (f"What is the opposite of {one}?", f"Name the opposite of {one}.", f"What is the contrary of {one}?")
    )
    return ask, f"The opposite of {one} is {other}."


def _sound(rng: random.Random) -> Turn:
    animal, sound = rng.choice(list(facts.SOUNDS.items()))
    ask = rng.choice((f"What does a {animal} say?", f"What sound does a {animal} make?", f"How does a {animal} sound?"))
    return ask, f"A {animal} says {sound}."


def _colour(rng: random.Random) -> Turn:
    thing, colour = rng.choice(list(facts.COLOURS.items()))
    ask = rng.choice((f"What colour is {thing}?", f"Which colour does {thing} have?", f"What color is {thing}?"))
    return ask, f"{thing[0].upper()}{thing[1:]} is {colour}."


def _calendar(rng: random.Random) -> Turn:
    if rng.random() < 0.2:
        ask = rng.choice(("Name the days of the week.", "List the days of the week."))
        return ask, ", ".join(facts.DAYS) + "."
    names = rng.choice((facts.DAYS, facts.MONTHS))
    word = "day" if names is facts.DAYS else "month"
    i = rng.randrange(len(names))
    if rng.random() < 0.5:
        following = names[(i + 1) % len(names)]
        return f"Which {word} comes after {names[i]}?", f"{following} comes after {names[i]}."
    return f"Which {word} comes before {names[i]}?", f"{names[i - 1]} comes before {names[i]}."


def _count(rng: random.Random) -> Turn:
    low = rng.randint(0, 12)
    high = low + rng.randint(2, 10)
    if rng.random() < 0.7:
        return f"Count from {low} to {high}.", " ".join(str(n) for n in range(low, high + 1))
    return f"Count down from {high} to {low}.", " ".join(str(n) for n in range(high, low - 1, -1))


def _project(rng: random.Random) -> Turn:
    asks, answer = rng.choice(facts.PROJECT)
    return rng.choice(asks), answer


def _unknown(rng: random.Random) -> Turn:
    return rng.choice(facts.UNKNOWN), facts.UNKNOWN_ANSWER


def story(rng: random.Random) -> str:
    """A story of four to seven short sentences with one hero, one place and one thing."""
    (name, friend), animal, kind = rng.sample(_NAMES, 2), rng.choice(_ANIMALS), rng.choice(_KINDS)
    place, thing = rng.choice(_PLACES), rng.choice(_THINGS)
    lines = [
        f"Once upon a time, there was a {kind} {animal} named {name}.",
        f"{name} lived near the {place}.",
        rng.choice(_WEATHER),
        rng.choice((f"One day, {name} found a {thing}.", f"One morning, {name} saw a {thing} by the {place}.")),
        rng.choice((f'"Whose {thing} is this?" asked {name}.', f"{name} had never seen a {thing} before.")),
        rng.choice((f"{friend} had lost the {thing} and was sad.", f"It belonged to {friend}, who lived far away.")),
        f"{name} gave the {thing} back, and {friend} smiled.",
    ]
    ending = rng.choice(
        (
            "They became friends.",
            "They played together until the evening.",
            f"They walked home to the {place}.",
        )
    )
    drop = rng.choice((1, 2, 4, None))
    return " ".join([line for i, line in enumerate(lines) if i != drop] + [ending])


def _tell(rng: random.Random) -> Turn:
    ask = (
        "Tell me a story.",
        "Tell me a short story.",
        "Can you tell me a story?",
        "I would like to hear a story.",
    )
    return rng.choice(ask), story(rng)


_TOPICS: tuple[tuple[Callable[[random.Random], Turn], float], ...] = (
    (_capital, 4.0),
    (_sum, 6.0),
    (_greeting, 1.0),
    (_thanks, 0.6),
    (_opposite, 1.0),
    (_sound, 0.8),
    (_colour, 0.8),
    (_calendar, 1.2),
    (_count, 1.0),
    (_project, 2.0),
    (_unknown, 1.0),
    (_tell, 1.2),
)


def _turns(rng: random.Random, count: int) -> Iterator[Turn]:
    topics, weights = zip(*_TOPICS, strict=True)
    for topic in rng.choices(topics, weights, k=count):
        yield topic(rng)


def _recall(rng: random.Random) -> tuple[Turn, Turn]:
    """A name told in one turn and asked for in a later one: what only the attention can answer."""
    name = rng.choice(_NAMES)
    told = rng.choice((f"My name is {name}.", f"I am {name}.", f"Hello, I am {name}.", f"You can call me {name}."))
    asked = rng.choice(("What is my name?", "Do you remember my name?", "Who am I?"))
    return (told, f"Nice to meet you, {name}!"), (asked, f"Your name is {name}.")


def conversation(rng: random.Random, many_turns: bool = False) -> Conversation:
    """One conversation: mostly a single turn; with `many_turns` eight to forty."""
    count = rng.randint(8, 40) if many_turns else rng.choice((1, 1, 1, 1, 2, 3, 4))
    system = rng.choice(_SYSTEMS) if rng.random() < 0.3 else ""
    turns = list(_turns(rng, count))
    if rng.random() < 0.12:
        told, asked = _recall(rng)
        at = rng.randint(0, len(turns))
        turns = [*turns[:at], told, *turns[at : at + 3], asked]
    return Conversation(system, tuple(turns))


def main() -> None:
    """Print conversations, to be read by a person."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=10)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    for _ in range(arguments.count):
        talk = conversation(rng)
        lines = [f"[{talk.system}]", *(f"> {user}\n{answer}" for user, answer in talk.turns)]
        print("\n".join(lines), end="\n\n")


if __name__ == "__main__":
    main()
