"""Short stories that differ in their hero, place and thing: what the built-in model learns of telling."""

from __future__ import annotations

import random

NAMES = (
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
_ASKS = (
    "Tell me a story.",
    "Tell me a short story.",
    "Can you tell me a story?",
    "I would like to hear a story.",
    "Please tell me a story.",
    "A story, please.",
    "Write a story.",
    "Do you know a story?",
    "Tell me another story.",
)


def story(rng: random.Random) -> str:
    """A story of four to seven short sentences with one hero, one place and one thing."""
    (name, friend), animal, kind = rng.sample(NAMES, 2), rng.choice(_ANIMALS), rng.choice(_KINDS)
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


def story_turn(rng: random.Random) -> tuple[str, str]:
    """The wish for a story, and one."""
    return rng.choice(_ASKS), story(rng)
