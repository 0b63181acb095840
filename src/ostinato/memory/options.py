"""What a user may say about weights that stream: how files are read, what is kept, what is read ahead."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from ostinato.memory.store_table import CHUNK, HALF_LIFE, PREFETCH_IN_FLIGHT, THREADS

COARSE_SHARE = 0.125  # of eight experts that weigh the same, none


class ReadMode(Enum):
    """How files are read."""

    DIRECT = "direct"  # past the page cache: what the budget says is all the memory that is used
    CACHED = "cached"  # through it
    MAPPED = "mapped"  # copied from a mapping, for comparison: slower, and a truncated file ends the process


class PolicyName(Enum):
    """Who goes first when a slot is needed."""

    LRU = "lru"
    LFU = "lfu"
    LFRU = "lfru"
    ORACLE = "oracle"  # replays a recorded trace


@dataclass(frozen=True)
class StoreOptions:
    """How a store reads and what it keeps. `half_life` is LFRU's between steps, in tokens: a short one suits text whose
    next token wants what this one wanted, a long one experts that stay popular (docs/log.md has figures);
    simulate.best_half_life finds the best for a recorded trace."""

    mode: ReadMode = ReadMode.DIRECT
    policy: PolicyName = PolicyName.LFRU
    half_life: float = HALF_LIFE
    locked: bool = False  # slots are locked into memory
    threads: int = THREADS
    chunk: int = CHUNK  # bytes of one read at most
    prefetch_in_flight: int = PREFETCH_IN_FLIGHT  # bytes of prefetch that are being read at once


class Prefetch(Enum):
    """What guesses the experts of the layers to come."""

    NONE = "none"
    GATE = "gate"  # their routers, applied ahead of time
    TRANSITIONS = "transitions"  # which experts followed which so far


@dataclass(frozen=True)
class Settings:
    """How the weights of a model stream."""

    store: StoreOptions = field(default_factory=StoreOptions)
    prefetch: Prefetch = Prefetch.GATE
    per_layer: bool = False  # every layer has slots of its own
    elastic: bool = True  # slots move to where they are worth most (memory/elastic.py)
    replicas: tuple[str, ...] = ()  # copies of the model's files, in their order
    profile: str | None = None  # a file of `ostinato profile`
    checksums: str | None = None  # a file of `ostinato checksums`
    coarse: str | None = None  # a file of the same model, of smaller experts (memory/coarse.py)
    coarse_share: float = COARSE_SHARE  # of a row's router weights: experts below it may be taken from there
