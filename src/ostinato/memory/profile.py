"""Which experts of a model are wanted often, saved for the next start: they are read first and kept.

A small JSON file that may come from anywhere: it is checked whole, and names experts only by layer and number.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ostinato.files import read_json, write_whole
from ostinato.memory.parcels import ExpertStack, Parcels
from ostinato.memory.trace import Trace

FORMAT = "ostinato-experts"
VERSION = 1
LARGEST = 64 << 20  # bytes of a file that is read
MOST = 1 << 53  # of a count: every JSON reader keeps it exact


class ProfileError(ValueError):
    """A file that is no profile, or one of another model; the text names the file."""


@dataclass(frozen=True)
class Profile:
    """How often each expert was wanted: counts[stack][expert], and the layer of every stack."""

    layers: tuple[int, ...]
    counts: tuple[tuple[int, ...], ...]

    def save(self, path: Path) -> None:
        stacks = [{"layer": layer, "counts": own} for layer, own in zip(self.layers, self.counts, strict=True)]
        write_whole(path, json.dumps({"format": FORMAT, "version": VERSION, "stacks": stacks}) + "\n")


def make_profile(parcels: Parcels, trace: Trace) -> Profile:
    """What the trace wanted."""
    import numpy as np

    counts = np.bincount(trace.parcels, minlength=len(parcels.parcels)).tolist()
    own = tuple(tuple(counts[stack.first : stack.first + stack.count]) for stack in parcels.stacks)
    return Profile(tuple(stack.layer for stack in parcels.stacks), own)


def load_profile(path: Path, stacks: Sequence[ExpertStack]) -> Profile:
    """A saved profile that fits the model with these. Raises ProfileError."""
    profile = _parsed(path, read_json(path, LARGEST, ProfileError))
    shape = [(stack.layer, stack.count) for stack in stacks]
    if not shape or shape != [(layer, len(own)) for layer, own in zip(profile.layers, profile.counts, strict=True)]:
        raise ProfileError(f"{path}: is of another model: its layers or their numbers of experts differ")
    return profile


def hottest(profile: Profile, stacks: Sequence[ExpertStack], cache: Sequence[int], keep: Sequence[int]) -> list[int]:
    """For every cache its `keep[cache]` parcels that were wanted most often, and at all; the hottest first."""
    counts = {
        stack.first + expert: count
        for stack, own in zip(stacks, profile.counts, strict=True)
        for expert, count in enumerate(own)
        if count
    }
    room, chosen = list(keep), []
    for parcel in sorted(counts, key=lambda parcel: (-counts[parcel], parcel)):
        if room[cache[parcel]] > 0:
            room[cache[parcel]] -= 1
            chosen.append(parcel)
    return chosen


def _parsed(path: Path, document: Any) -> Profile:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ProfileError(f"{path}: is no profile of experts")
    if document.get("version") != VERSION:
        raise ProfileError(f"{path}: is of version {document.get('version')!r}; expected {VERSION}")
    stacks = document.get("stacks")
    if not isinstance(stacks, list) or not all(isinstance(stack, dict) for stack in stacks):
        raise ProfileError(f"{path}: lists no stacks of experts")
    layers = tuple(_number(path, stack.get("layer"), "a layer") for stack in stacks)
    return Profile(layers, tuple(_counts(path, stack.get("counts")) for stack in stacks))


def _counts(path: Path, counts: Any) -> tuple[int, ...]:
    if not isinstance(counts, list):
        raise ProfileError(f"{path}: a stack has no counts")
    return tuple(_number(path, count, "a count") for count in counts)


def _number(path: Path, value: Any, what: str) -> int:
    if type(value) is not int or not 0 <= value <= MOST:
        raise ProfileError(f"{path}: {what} is not a number from 0 to {MOST}")
    return value
