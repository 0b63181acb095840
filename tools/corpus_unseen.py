"""What the built-in model is asked to be judged: wordings and sums that are in no part of its training text.

Deterministic and complete: every held-out wording for every country, every held-out sum once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle

from tools import corpus_capitals as capitals
from tools import corpus_facts as facts
from tools import corpus_sums as sums
from tools.corpus_countries import COUNTRIES


@dataclass(frozen=True)
class Question:
    """One question, as a person may type it, and the answer that counts, word for word."""

    kind: str
    ask: str
    answer: str


def unseen_wordings() -> Iterator[Question]:
    """Capitals of all countries and countries of all capitals, and the project, in held-out words."""
    for country in COUNTRIES:
        for number, wording in enumerate(capitals.HELD_OUT):
            ask = typed(wording.format(c=country.name), number)
            yield Question("capital", ask, capitals.answer(country))
        for number, wording in enumerate(capitals.HELD_OUT_REVERSED):
            ask = typed(wording.format(city=country.capital), number)
            yield Question("country", ask, capitals.answer_reversed(country))
    for subject in facts.PROJECT:
        yield from (Question("project", ask, subject.answer) for ask in subject.held_out)


def unseen_sums() -> Iterator[Question]:
    """Every held-out sum, in plain words that training uses for other sums and in held-out ones by turns."""
    wordings = cycle(("what is {e}", *sums.HELD_OUT))
    signs = cycle((False, True, False))
    for kind in sums.SIGNS:
        for asked in sums.every_sum(kind):
            if asked.held_out:
                expression = f"{asked.a} {sums.SIGNS[kind][0] if next(signs) else kind} {asked.b}"
                yield Question(asked.kind, typed(next(wordings).format(e=expression), 0), asked.answer)


def typed(text: str, style: int) -> str:
    """The text as a sentence, or (every third and fourth style) in small letters, or without its question mark."""
    match style % 4:
        case 2:
            return text + "?"
        case 3:
            return text[0].upper() + text[1:]
        case _:
            return text[0].upper() + text[1:] + "?"
