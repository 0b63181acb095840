"""How much memory weights may take, and what becomes of it: slots of a few sizes, caches that share them.

plan(parcels, parse_budget("50%", file_bytes)) gives every kind of parcel the same fraction of itself, after what must
be resident. A budget that cannot work is refused, with the least that would.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ostinato.memory.parcels import Parcel, Parcels
from ostinato.memory.store_table import BLOCK

GROWTH = 6  # with a larger budget a step takes more rows and there are more sequences: at most so great a part of it
LEAST_SLOTS = 2  # of a cache: one to compute with while another is read
COPIES_PART = 8  # of the slots' bytes: one 8th is for copies
SAME_SIZE = 16  # parcels whose sizes differ by less than one 16th share a pool

_UNITS = {"": 1, "B": 1, "K": 2**10, "KB": 10**3, "KIB": 2**10, "M": 2**20, "MB": 10**6, "MIB": 2**20, "G": 2**30,
          "GB": 10**9, "GIB": 2**30, "T": 2**40, "TB": 10**12, "TIB": 2**40}  # fmt: skip
_BUDGET = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*(%|[A-Za-z]*)", re.ASCII)


class BudgetError(ValueError):
    """A budget that nobody can read, or that is too small; the text says what would do."""


@dataclass(frozen=True)
class PoolPlan:
    """`slots` of `slot_bytes`, for `parcels` parcels; `copies`: of experts in fewer bits, whose slots stay as many."""

    slot_bytes: int
    slots: int
    parcels: int
    copies: bool = False


@dataclass(frozen=True)
class CachePlan:
    """At most `quota` slots of a pool."""

    pool: int
    quota: int


@dataclass(frozen=True)
class MemoryPlan:
    """Pools, the caches that share them, the cache of each parcel; and what is resident beside them."""

    resident_bytes: int
    pools: tuple[PoolPlan, ...]
    caches: tuple[CachePlan, ...]
    cache: tuple[int, ...]
    block: int  # bytes that reads may be aligned to, at most

    @property
    def slot_bytes(self) -> int:
        """Bytes of all slots: the store's budget."""
        return _bytes(self.pools)

    @property
    def nbytes(self) -> int:
        return self.resident_bytes + self.slot_bytes

    @property
    def complete(self) -> bool:
        """Whether every parcel of the model has a slot, so that nothing is ever evicted."""
        return all(pool.slots == pool.parcels for pool in self.pools if not pool.copies)


def parse_budget(text: str, whole: int) -> int:
    """Bytes: "8GiB", "8G" (the same), "8GB" (decimal), "1.5GiB", "8589934592", or "50%" of `whole`."""
    match = _BUDGET.fullmatch(text.strip())
    if match is None or (match[2] != "%" and match[2].upper() not in _UNITS):
        raise BudgetError(f"{text!r} is not an amount of memory; expected one such as 8GiB, 500MB or 50%")
    unit = whole / 100 if match[2] == "%" else _UNITS[match[2].upper()]
    amount = int(float(match[1]) * unit)
    if amount < 1:
        raise BudgetError(f"{text!r} is no memory at all")
    return amount


def plan(
    parcels: Parcels, budget: int, *, other_bytes: int = 0, per_layer: bool = False, block: int = BLOCK
) -> MemoryPlan:
    """Slots for `budget` bytes, of which `other_bytes` (keys and values, activations) and the resident weights go
    first. With `per_layer` every layer has slots of its own. `block` is what reads are aligned to (store.block_of
    asks the files' disks). Raises BudgetError."""
    per_layer = per_layer and not parcels.dense  # those pass through their slots in turn
    own = _grouped(parcels.exact, 1 if parcels.dense else SAME_SIZE, per_layer, block)
    copies = _grouped(parcels.parcels[len(parcels.exact) :], SAME_SIZE, False, block)
    rest = budget - parcels.resident_bytes - other_bytes
    smallest = budget - rest + own.least_bytes + copies.least_bytes
    if budget < smallest:
        need = f"this model runs in {amount(smallest + smallest // GROWTH)}, with a smaller context in less"
        raise BudgetError(f"{amount(budget)} is too little memory; {need}")
    for_copies = copies.divided(max(copies.least_bytes, min(rest // COPIES_PART, rest - own.least_bytes)), copies=True)
    for_own = own.divided(rest - _bytes(for_copies[0]))
    return _joined(parcels.resident_bytes, (own, *for_own), (copies, *for_copies), block)


def kept_layers(made: MemoryPlan, ahead: int = 2) -> list[int]:
    """The parcels to keep where all are wanted in turn, as layers of a dense model are.

    Whoever evicts by past use evicts just what comes next, and hits nothing. So all slots are kept but those that the
    streamed ones pass through: two to compute with (gate and up are one product) and `ahead` being read. Kept ones lie
    evenly between them, so that reading never stops.
    """
    kept = []
    for number, cache in enumerate(made.caches):
        members = [parcel for parcel, own in enumerate(made.cache) if own == number]
        count = len(members) if cache.quota >= len(members) else max(0, cache.quota - 2 - ahead)
        kept += [members[i * len(members) // count] for i in range(count)]
    return kept


def padded(parcel: Parcel, block: int = BLOCK) -> int:
    """Bytes of a slot that holds the parcel: whole blocks for every extent, whole pages in all."""
    blocks = sum(-(-(e.offset + e.nbytes) // block) - e.offset // block for e in parcel.extents)
    return _round_up(blocks * block, max(block, mmap.PAGESIZE))


@dataclass(frozen=True)
class _Grouped:
    """Parcels by size and, where layers have slots of their own, by layer. `pools`: (slot bytes, parcels); `groups`:
    the pool and layer of each cache, `members` its parcels; `cache` of each parcel; `least` slots of each pool."""

    pools: list[tuple[int, int]]
    groups: list[tuple[int, int]]
    members: list[int]
    cache: list[int]
    least: list[int]

    @property
    def least_bytes(self) -> int:
        return sum(size * slots for (size, _), slots in zip(self.pools, self.least, strict=True))

    def divided(self, rest: int, copies: bool = False) -> tuple[list[PoolPlan], list[CachePlan]]:
        """Slots in `rest` bytes, and whose they are."""
        slots = share(self.pools, self.least, rest)
        pools = [PoolPlan(size, n, count, copies) for (size, count), n in zip(self.pools, slots, strict=True)]
        return pools, _quotas(self.groups, self.members, slots)


def _grouped(parcels: Sequence[Parcel], same: int, per_layer: bool, block: int) -> _Grouped:
    pools, pool_of = size_classes([padded(parcel, block) for parcel in parcels], same)
    own = [_group(pool, parcel, per_layer) for pool, parcel in zip(pool_of, parcels, strict=True)]
    groups = sorted(set(own))
    cache_of = {group: number for number, group in enumerate(groups)}
    cache = [cache_of[group] for group in own]
    members = [cache.count(number) for number in range(len(groups))]
    least = [_least(pool, groups, members) for pool in range(len(pools))]
    return _Grouped(pools, groups, members, cache, least)


_Divided = tuple[_Grouped, list[PoolPlan], list[CachePlan]]


def _joined(resident_bytes: int, first: _Divided, second: _Divided, block: int) -> MemoryPlan:
    (own, pools, caches), (other, more_pools, more_caches) = first, second
    behind = (CachePlan(len(pools) + cache.pool, cache.quota) for cache in more_caches)
    cache = (*own.cache, *(len(caches) + number for number in other.cache))
    return MemoryPlan(resident_bytes, (*pools, *more_pools), (*caches, *behind), cache, block)


def _bytes(pools: Sequence[PoolPlan]) -> int:
    return sum(pool.slot_bytes * pool.slots for pool in pools)


def size_classes(sizes: Sequence[int], same: int = SAME_SIZE) -> tuple[list[tuple[int, int]], list[int]]:
    """(slot bytes, parcels) of every pool, largest first, and the pool of each parcel. Sizes that differ by less than
    one part in `same` share a pool."""
    tops: list[int] = []
    for size in sorted(set(sizes), reverse=True):
        if not tops or size * same < tops[-1] * (same - 1):
            tops.append(size)
    pool_of = [max(index for index, top in enumerate(tops) if size <= top) for size in sizes]
    return [(top, pool_of.count(index)) for index, top in enumerate(tops)], pool_of


def _group(pool: int, parcel: Parcel, per_layer: bool) -> tuple[int, int]:
    return pool, parcel.layer if per_layer else 0


def _least(pool: int, groups: Sequence[tuple[int, int]], members: Sequence[int]) -> int:
    return sum(min(LEAST_SLOTS, n) for (own, _), n in zip(groups, members, strict=True) if own == pool)


def share(pools: Sequence[tuple[int, int]], least: Sequence[int], rest: int) -> list[int]:
    """Slots of each pool in `rest` bytes: the same fraction of its parcels, and what is left one by one."""
    wanted = sum(size * count for size, count in pools)
    fraction = min(1.0, rest / wanted) if wanted else 0.0
    slots = [max(low, int(count * fraction)) for (_, count), low in zip(pools, least, strict=True)]
    used = sum(size * n for (size, _), n in zip(pools, slots, strict=True))
    order = range(len(pools))
    while used > rest:  # the least of a small pool was more than its fraction
        index = max((i for i in order if slots[i] > least[i]), key=lambda i: slots[i] / pools[i][1])
        slots[index] -= 1
        used -= pools[index][0]
    while fits := [i for i in order if slots[i] < pools[i][1] and used + pools[i][0] <= rest]:
        index = min(fits, key=lambda i: slots[i] / pools[i][1])
        slots[index] += 1
        used += pools[index][0]
    return slots


def _quotas(groups: Sequence[tuple[int, int]], members: Sequence[int], slots: Sequence[int]) -> list[CachePlan]:
    """A pool's slots for its caches, as even as their members allow."""
    quotas = [min(LEAST_SLOTS, n) for n in members]
    for pool, total in enumerate(slots):
        own = [i for i, (of, _) in enumerate(groups) if of == pool]
        for _ in range(total - sum(quotas[i] for i in own)):
            index = min((i for i in own if quotas[i] < members[i]), key=lambda i: quotas[i] / members[i])
            quotas[index] += 1
    return [CachePlan(pool, quota) for (pool, _), quota in zip(groups, quotas, strict=True)]


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def amount(nbytes: int) -> str:
    """Rounded up, so that the amount named is enough; in bytes where so little that a unit may have been left out."""
    if nbytes < 2**20:
        return f"{nbytes} B"
    unit, name = (2**30, "GiB") if nbytes >= 2**30 else (2**20, "MiB")
    return f"{-(-nbytes * 100 // unit) / 100:.2f} {name}"
