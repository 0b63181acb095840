"""The text the built-in model learns from: seeded, endless, simple conversations, sheets of sums and short stories.

Deterministic in the seed on every machine (Python's own Mersenne generator, no set or hash order), so that
the model can be trained again from nothing but this repository.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tools import corpus_talk as talk
from tools.corpus_capitals import capital_turn
from tools.corpus_stories import story, story_turn
from tools.corpus_sums import exercise, sum_turn
from tools.corpus_talk import Turn

_SYSTEMS = (
    "You are a helpful assistant.",
    "You are Ostinato, a small and friendly assistant.",
    "Answer briefly.",
    "Be kind and clear.",
)
_MAKERS: tuple[tuple[Callable[[random.Random], Turn], float], ...] = (
    (capital_turn, 8.0),
    (sum_turn, 8.0),
    (talk.greeting_turn, 0.7),
    (talk.thanks_turn, 0.5),
    (talk.opposite_turn, 0.6),
    (talk.sound_turn, 0.4),
    (talk.colour_turn, 0.4),
    (talk.calendar_turn, 0.6),
    (talk.count_turn, 0.5),
    (talk.project_turn, 2.0),
    (talk.unknown_turn, 0.6),
    (story_turn, 0.4),
)
START, END = "<|im_start|>", "<|im_end|>"
Piece = tuple[str, bool]  # a part of a document, and whether the model is to learn to say it
_SENTENCE_ENDS = ".?!="


@dataclass(frozen=True)
class Conversation:
    """A system message (perhaps empty) and the turns that follow it."""

    system: str
    turns: tuple[Turn, ...]


def as_typed(rng: random.Random, text: str) -> str:
    """What a person makes of a sentence: a sign at its end or none, capitals or none, now and then a typing error."""
    if text[-1] not in _SENTENCE_ENDS:
        text += rng.choice(("?", "?", "?", "", ".", "!"))
    elif rng.random() < 0.15:
        text = text.rstrip(_SENTENCE_ENDS + " ") or text
    case = rng.random()
    if case < 0.7:
        text = text[0].upper() + text[1:]
    elif case < 0.9:
        text = text.lower()
    elif case < 0.93:
        text = text.upper()
    return mistyped(rng, text) if rng.random() < 0.06 else text


def mistyped(rng: random.Random, text: str) -> str:
    """Two neighbouring letters swapped, or one left out or doubled, somewhere after a word's first letter."""
    places = [i for i in range(1, len(text) - 1) if text[i - 1 : i + 2].isalpha()]
    if not places:
        return text
    i = rng.choice(places)
    middle = rng.choice((text[i + 1] + text[i], text[i + 1], text[i] * 2 + text[i + 1]))
    return text[:i] + middle + text[i + 2 :]


def _turns(rng: random.Random, count: int) -> Iterator[Turn]:
    makers, weights = zip(*_MAKERS, strict=True)
    for maker in rng.choices(makers, weights, k=count):
        user, answer = maker(rng)
        yield as_typed(rng, user), answer


def conversation(rng: random.Random, many_turns: bool = False) -> Conversation:
    """One conversation: mostly a single turn; with `many_turns` eight to forty."""
    count = rng.randint(8, 40) if many_turns else rng.choice((1, 1, 1, 1, 2, 3, 4))
    system = rng.choice(_SYSTEMS) if rng.random() < 0.15 else ""
    turns = list(_turns(rng, count))
    if rng.random() < 0.06:
        told, asked = talk.recall(rng)
        at = rng.randint(0, len(turns))
        turns = [*turns[:at], told, *turns[at : at + 3], asked]
    return Conversation(system, tuple(turns))


def document(rng: random.Random) -> Conversation | list[Piece]:
    """What the model reads next: a conversation, or a text without roles (a sheet of sums, a story)."""
    kind = rng.random()
    if kind < 0.35:
        return [piece for ask, result in exercise(rng) for piece in ((ask, False), (result, True))]
    if kind < 0.36:
        return [(story(rng), True)]
    return conversation(rng, many_turns=kind > 0.98)


def pieces(found: Conversation | list[Piece]) -> Iterator[Piece]:
    """A document as the model's context spells it, in the chat template's format."""
    if isinstance(found, list):
        yield from found
        yield END, True
        return
    messages = [("system", found.system)] if found.system else []
    for user, answer in found.turns:
        messages += [("user", user), ("assistant", answer)]
    for role, text in messages:
        yield f"{START}{role}\n", False
        yield f"{text}{END}", role == "assistant"
        yield "\n", False


def main() -> None:
    """Print documents, to be read by a person."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=10)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    for _ in range(arguments.count):
        print("".join(text for text, _ in pieces(document(rng))), end="\n\n")


if __name__ == "__main__":
    main()
