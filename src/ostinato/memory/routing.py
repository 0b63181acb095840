"""Which experts the tokens of a text were sent to, layer by layer: what profiles, policies and drawings are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostinato.memory.parcels import Parcels
from ostinato.memory.profile import Profile, make_profile
from ostinato.memory.trace import Trace


@dataclass(frozen=True)
class Routing:
    """chosen[stack]: int32 [tokens, top_k] of `parcels.stacks`, in any order. foreseen[stack]:
    likewise what its router would have chosen a layer earlier, None where nobody asked it."""

    parcels: Parcels
    chosen: tuple[NDArray[np.int32], ...]
    foreseen: tuple[NDArray[np.int32] | None, ...] = ()

    @property
    def tokens(self) -> int:
        return len(self.chosen[0])

    @property
    def trace(self) -> Trace:
        """What a generation of these tokens would want: token by token, a step for each stack."""
        wanted = [stack.first + own for stack, own in zip(self.parcels.stacks, self.chosen, strict=True)]
        widths = [own.shape[1] for own in self.chosen]
        first = np.concatenate([[0], np.cumsum(np.tile(widths, self.tokens))]).astype(np.int64)
        return Trace(first, np.concatenate(wanted, axis=1, dtype=np.int32).reshape(-1))

    @property
    def profile(self) -> Profile:
        """How many tokens wanted each expert."""
        return make_profile(self.parcels, self.trace)


def joined(parts: Sequence[Routing]) -> Routing:
    """Of several texts of one model, one after the other."""
    chosen = tuple(np.concatenate(layers) for layers in zip(*(part.chosen for part in parts), strict=True))
    foreseen = zip(*(part.foreseen for part in parts), strict=True)
    known = ([own for own in layers if own is not None] for layers in foreseen)
    return Routing(parts[0].parcels, chosen, tuple(np.concatenate(own) if own else None for own in known))


def foreseen(routing: Routing) -> list[float | None]:
    """How well each stack's experts are foreseen by its own router a layer ahead: of what a token wanted, the part that
    it named. None where it was not asked."""
    asked = routing.foreseen or [None] * len(routing.chosen)
    return [
        float((guessed[:, :, None] == chosen[:, None, :]).any(axis=1).mean()) if guessed is not None else None
        for guessed, chosen in zip(asked, routing.chosen, strict=True)
    ]


def followed(routing: Routing) -> list[float | None]:
    """How well each stack's experts follow from those of the stack before it: of what a token wanted, the part that was
    among as many guesses. Which expert follows which is learned from the first half of the tokens and tried on the
    second. None for the first stack, which follows from nothing, and for all where there are too few tokens."""
    half = routing.tokens // 2
    if not half:
        return [None] * len(routing.chosen)
    found: list[float | None] = [None]
    marks = [_marked(own, stack.count) for stack, own in zip(routing.parcels.stacks, routing.chosen, strict=True)]
    for seen, sought, wanted in zip(marks, marks[1:], routing.chosen[1:], strict=False):
        follows = seen[:half].T @ sought[:half]  # [before, after]: tokens that wanted both
        found.append(_recall(seen[half:] @ follows, sought[half:], wanted.shape[1]))
    return found


def _marked(chosen: NDArray[np.int32], experts: int) -> NDArray[np.float32]:
    """Float32 [tokens, experts]: 1 where the token wanted the expert."""
    marks = np.zeros((len(chosen), experts), np.float32)
    np.put_along_axis(marks, chosen, 1.0, axis=1)
    return marks


def _recall(scores: NDArray[np.float32], sought: NDArray[np.float32], guesses: int) -> float:
    """Of what was sought, the part among each row's best `guesses` scores (ties: the lower number)."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :guesses]
    return float(np.take_along_axis(sought, best, axis=1).sum() / sought.sum())
