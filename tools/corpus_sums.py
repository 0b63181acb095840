"""Small arithmetic: sums, differences, products and quotients, a tenth of which is kept out of training.

Addition and subtraction know 0 to 20, multiplication and division 0 to 12 (quotients: what comes out whole). A held-out
sum occurs in no order and no wording; a held-out product's mirror image is taught, as a times table taught by halves.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from zlib import crc32

LARGEST, LARGEST_FACTOR = 20, 12
SIGNS = {"plus": ("+",), "minus": ("-",), "times": ("*", "x", "×"), "divided by": ("/", "÷", ":")}
SMALL_WORDS = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
)

_QUESTIONS = (
    "what is {e}",
    "what is {e}",
    "what's {e}",
    "whats {e}",
    "how much is {e}",
    "what does {e} make",
    "what do you get for {e}",
    "can you calculate {e}",
    "calculate {e}",
    "compute {e}",
    "solve {e}",
    "tell me {e}",
    "tell me what {e} is",
    "do you know what {e} is",
    "the answer to {e}",
    "what is the value of {e}",
    "I want to know how much {e} is",
    "{e}",
    "{e}",
    "{e} =",
    "{e} = ?",
    "{e} is",
    "{e} is what",
    "{e} makes",
)
_SPELT = {
    "plus": ("add {a} and {b}", "what is the sum of {a} and {b}", "add {b} to {a}", "sum of {a} and {b}"),
    "minus": ("subtract {b} from {a}", "take {b} away from {a}", "what is {a} less {b}", "what is {b} from {a}"),
    "times": ("multiply {a} by {b}", "multiply {a} and {b}", "what is the product of {a} and {b}"),
    "divided by": ("divide {a} by {b}", "how often does {b} go into {a}"),
}
_BEFORE = (
    "hello, ",
    "hi! ",
    "hey, ",
    "please ",
    "so, ",
    "and ",
    "now ",
    "question: ",
    "quick sum: ",
    "for my homework: ",
)
_AFTER = (" please", ", please", ", thanks", " now")

# Never in training, in any casing or punctuation.
HELD_OUT = (
    "what is the result of {e}",
    "how much would {e} be",
    "work out {e}",
    "give me the answer to {e}",
    "what does {e} come to",
    "can you tell me how much {e} is",
)


@dataclass(frozen=True)
class Sum:
    """`a kind b`, where `kind` is a key of the signs."""

    a: int
    kind: str
    b: int

    @property
    def result(self) -> int:
        results = {"plus": self.a + self.b, "minus": self.a - self.b, "times": self.a * self.b}
        return results[self.kind] if self.kind in results else self.a // self.b

    @property
    def answer(self) -> str:
        """What the assistant says."""
        return f"{self.a} {self.kind} {self.b} is {self.result}."

    @property
    def held_out(self) -> bool:
        """Whether training must not see it: one of ten, by a checksum that is the same on every machine."""
        low, high = min(self.a, self.b), max(self.a, self.b)
        match self.kind:
            case "plus":
                return crc32(f"{low}+{high}".encode()) % 10 == 0
            case "minus":
                return self.a >= self.b and crc32(f"{self.a}-{self.b}".encode()) % 10 == 0
            case "times":
                mirror = self.a < self.b if crc32(f"{high}*{low}".encode()) % 2 else self.a > self.b
                return mirror and crc32(f"{low}*{high}".encode()) % 5 == 0
            case _:
                return False


def every_sum(kind: str) -> Iterator[Sum]:
    """All that the corpus knows of one kind, taught and held out."""
    if kind == "divided by":
        return (Sum(a * b, kind, b) for a in range(LARGEST_FACTOR + 1) for b in range(1, LARGEST_FACTOR + 1))
    largest = LARGEST_FACTOR if kind == "times" else LARGEST
    return (Sum(a, kind, b) for a in range(largest + 1) for b in range(largest + 1))


def all_wordings() -> Iterator[str]:
    """Every frame of training, before letters' case, punctuation and typing errors are varied."""
    spelt = [frame for frames in _SPELT.values() for frame in frames]
    for core in dict.fromkeys((*_QUESTIONS, *spelt)):
        for before in ("", *_BEFORE):
            yield from (before + core + after for after in ("", *_AFTER))


def taught(rng: random.Random) -> Sum:
    """A sum that is not held out; few results are below zero."""
    while True:
        kind = rng.choices(("plus", "minus", "times", "divided by"), (10, 8, 8, 1))[0]
        largest = LARGEST_FACTOR if kind in ("times", "divided by") else LARGEST
        a, b = rng.randint(0, largest), rng.randint(0, largest)
        if kind == "divided by":
            b = b or 1
            found = Sum(a * b, kind, b)
        else:
            a, b = (max(a, b), min(a, b)) if kind == "minus" and rng.random() < 0.95 else (a, b)
            found = Sum(a, kind, b)
        if not found.held_out:
            return found


def expression(rng: random.Random, asked: Sum) -> str:
    """`3 + 4`, `3+4`, `3 plus 4` or `three plus four`."""
    spelt = rng.random()
    if spelt < 0.5:
        sign = rng.choice(SIGNS[asked.kind])
        return f"{asked.a}{sign}{asked.b}" if rng.random() < 0.4 else f"{asked.a} {sign} {asked.b}"
    if spelt < 0.62 and max(asked.a, asked.b) < len(SMALL_WORDS):
        return f"{SMALL_WORDS[asked.a]} {asked.kind} {SMALL_WORDS[asked.b]}"
    return f"{asked.a} {asked.kind} {asked.b}"


def sum_turn(rng: random.Random) -> tuple[str, str]:
    """A question, without a sign at its end, and its answer."""
    if rng.random() < 0.08:
        return _too_large(rng)
    asked = taught(rng)
    if rng.random() < 0.15:
        core = rng.choice(_SPELT[asked.kind]).format(a=asked.a, b=asked.b)
    else:
        core = rng.choice(_QUESTIONS).format(e=expression(rng, asked))
    before = rng.choice(_BEFORE) if rng.random() < 0.15 else ""
    after = rng.choice(_AFTER) if rng.random() < 0.1 else ""
    return before + core + after, asked.answer


def _too_large(rng: random.Random) -> tuple[str, str]:
    kind = rng.choice(("plus", "minus", "times"))
    a, b = rng.randint(LARGEST + 1, rng.choice((99, 9999))), rng.randint(0, rng.choice((99, 9999)))
    a, b = (a, b) if rng.random() < 0.6 else (b, a)
    ask = rng.choice(_QUESTIONS).format(e=f"{a} {rng.choice((kind, *SIGNS[kind]))} {b}")
    return ask, f"That is too much for me: I know numbers up to {LARGEST}, and the times table up to {LARGEST_FACTOR}."


def exercise(rng: random.Random) -> list[tuple[str, str]]:
    """A sheet of eight to sixteen taught sums: each what an answer begins with (`47 plus 38 is`), and its end."""
    sums = [taught(rng) for _ in range(rng.randint(8, 16))]
    return [(f"{s.a} {s.kind} {s.b} is", f" {s.result}.\n") for s in sums]
