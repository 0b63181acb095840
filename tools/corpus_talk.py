"""Small talk and small facts: greetings, thanks, names, opposites, sounds, colours, the calendar, the project."""

from __future__ import annotations

import random

from tools import corpus_facts as facts
from tools.corpus_stories import NAMES

Turn = tuple[str, str]  # what the user says, what the assistant answers


def greeting_turn(rng: random.Random) -> Turn:
    """Hello, or how are you."""
    asked = ("Hello", "Hi", "Hey", "Good morning", "Good evening", "Good afternoon", "Hello there", "Hi there", "Hallo")
    user = rng.choice(asked) + rng.choice(("", ".", "!", "!", ", how are you?", "! How are you today?", ", Ostinato!"))
    if rng.random() < 0.15:
        user = rng.choice(("How are you?", "How do you do?", "Are you well?", "How is it going?", "What's up?"))
    if user.endswith("?"):
        return user, "Hello! I am well, thank you. What can I do for you?"
    return user, "Hello! How can I help you today?"


def thanks_turn(rng: random.Random) -> Turn:
    """Thanks, praise, or goodbye."""
    if rng.random() < 0.5:
        thanks = (
            "Thank you.",
            "Thanks!",
            "Thanks a lot.",
            "Thank you very much!",
            "That is right.",
            "Well done!",
            "Great!",
        )
        return rng.choice(thanks), "You are welcome!"
    parting = ("Goodbye.", "Bye!", "See you later.", "Good night.", "Bye bye.", "See you tomorrow.", "Farewell.")
    return rng.choice(parting), "Goodbye! Come back soon."


def opposite_turn(rng: random.Random) -> Turn:
    one, other = rng.choice(facts.OPPOSITES)
    if rng.random() < 0.5:
        one, other = other, one
    ask = rng.choice(
        (
            f"What is the opposite of {one}?",
            f"Name the opposite of {one}.",
            f"What is the contrary of {one}?",
            f"Tell me the opposite of {one}.",
            f"Opposite of {one}?",
        )
    )
    return ask, f"The opposite of {one} is {other}."


def sound_turn(rng: random.Random) -> Turn:
    animal, sound = rng.choice(list(facts.SOUNDS.items()))
    asks = (f"What does a {animal} say?", f"What sound does a {animal} make?", f"How does a {animal} sound?")
    return rng.choice(asks), f"A {animal} says {sound}."


def colour_turn(rng: random.Random) -> Turn:
    thing, colour = rng.choice(list(facts.COLOURS.items()))
    asks = (f"What colour is {thing}?", f"Which colour does {thing} have?", f"What color is {thing}?")
    return rng.choice(asks), f"{thing[0].upper()}{thing[1:]} is {colour}."


def calendar_turn(rng: random.Random) -> Turn:
    if rng.random() < 0.2:
        ask = rng.choice(("Name the days of the week.", "List the days of the week.", "What are the days of the week?"))
        return ask, ", ".join(facts.DAYS) + "."
    names = rng.choice((facts.DAYS, facts.MONTHS))
    word = "day" if names is facts.DAYS else "month"
    i = rng.randrange(len(names))
    ask = rng.choice(("Which", "What"))
    if rng.random() < 0.5:
        following = names[(i + 1) % len(names)]
        return f"{ask} {word} comes after {names[i]}?", f"{following} comes after {names[i]}."
    return f"{ask} {word} comes before {names[i]}?", f"{names[i - 1]} comes before {names[i]}."


def count_turn(rng: random.Random) -> Turn:
    low = rng.randint(0, 12)
    high = low + rng.randint(2, 10)
    if rng.random() < 0.7:
        return f"Count from {low} to {high}.", " ".join(str(n) for n in range(low, high + 1))
    return f"Count down from {high} to {low}.", " ".join(str(n) for n in range(high, low - 1, -1))


def project_turn(rng: random.Random) -> Turn:
    subject = rng.choice(facts.PROJECT)
    before = rng.choice(("", "", "", "Please: ", "Hello. ", "Tell me: ", "One question: ", "Hey! ", "Now: "))
    return before + rng.choice(subject.asks), subject.answer


def unknown_turn(rng: random.Random) -> Turn:
    return rng.choice(facts.UNKNOWN), facts.UNKNOWN_ANSWER


def recall(rng: random.Random) -> tuple[Turn, Turn]:
    """A name told in one turn and asked for in a later one: what only the attention can answer."""
    name = rng.choice(NAMES)
    told = rng.choice((f"My name is {name}.", f"I am {name}.", f"Hello, I am {name}.", f"You can call me {name}."))
    asked = rng.choice(("What is my name?", "Do you remember my name?", "Who am I?"))
    return (told, f"Nice to meet you, {name}!"), (asked, f"Your name is {name}.")
