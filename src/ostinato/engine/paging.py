"""Paging: gives blocks of every cache group to sequences, finds shared prefixes, and takes blocks back no
sooner than every submitted step that names them is collected."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable

from ostinato.engine.active import Active
from ostinato.engine.blocks import BlockPool
from ostinato.engine.prefix import PrefixNames


class Paging:
    """The pools of all cache groups. A sequence holds equally many blocks of each. Prefixes are not shared where
    keys and values are not all that a sequence's past has left (`recurrent`)."""

    def __init__(self, blocks: int, block_size: int, caches: int, recurrent: bool = False) -> None:
        self.block_size = block_size
        self._shares = not recurrent
        self.pools = [BlockPool(blocks) for _ in range(caches)]
        self._prefix = PrefixNames(block_size)
        self._submitted = self._collected = 0
        self._leaving: deque[tuple[int, list[list[int]]]] = deque()  # (last step that may name them, blocks)
        self.recall: Callable[[int], None] | None = None  # has at least so many lent blocks come back, while there are

    @property
    def available(self) -> int:
        """Blocks that every group can give now."""
        return min(pool.available for pool in self.pools)

    @property
    def lent(self) -> int:
        """Blocks of every group whose memory serves something else; they come back as soon as they are wanted."""
        return self.pools[0].count - self.pools[0].open if self.pools else 0

    @property
    def lendable(self) -> int:
        """Blocks of every group that can be lent."""
        return min((pool.lendable for pool in self.pools), default=0)

    def lend(self, count: int) -> range:
        """Gives up so many blocks of every group, the same ones."""
        lent = [pool.lend(count) for pool in self.pools]
        return lent[0]

    def take_back(self, count: int) -> None:
        """The reverse, of the last ones that were lent."""
        for pool in self.pools:
            pool.take_back(count)

    def claim(self, count: int) -> bool:
        """Whether so many blocks of every group are available; calls back what is lent where they are not."""
        missing = count - self.available
        if missing > 0 and self.lent and self.recall is not None:
            self.recall(missing)
        return count <= self.available

    @property
    def leaving(self) -> bool:
        """Whether blocks will become available when steps are collected."""
        return bool(self._leaving)

    def blocks_for(self, positions: int) -> int:
        """Blocks of every group that so many positions need."""
        return -(-positions // self.block_size)

    def admit(self, sequence: Active, spare: int, running: Iterable[Active] = ()) -> bool:
        """Gives blocks for all known tokens, shared where a prefix is known, if `spare` are left over.

        The last row is never shared: its logits are wanted. Where a `running` sequence is about to compute the next
        block of the prefix, it is worth waiting for.
        """
        hits = self._match(sequence)
        if self._coming(sequence, len(hits), running):
            return False
        wanted = self.blocks_for(sequence.length) - len(hits) + spare
        self.claim(wanted + len(hits))
        for cache, pool in enumerate(self.pools):
            if pool.available - sum(pool.idle(blocks[cache]) for blocks in hits) < wanted:
                return False
        for blocks in hits:
            for pool, block in zip(self.pools, blocks, strict=True):
                pool.share(block)
            sequence.hold(blocks)
        sequence.computed = sequence.scheduled = len(hits) * self.block_size
        sequence.remembered = len(hits)
        self.grow(sequence, sequence.length)
        return True

    def missing(self, sequence: Active, positions: int) -> int:
        """Blocks of every group that it lacks to cover so many positions."""
        return max(0, self.blocks_for(positions) - sequence.block_count)

    def grow(self, sequence: Active, positions: int) -> bool:
        """Makes its blocks cover so many positions; takes none and returns False where there are too few."""
        missing = self.missing(sequence, positions)
        if missing and not self.claim(missing):
            return False
        for _ in range(missing):
            sequence.hold(tuple(pool.take() for pool in self.pools))
        return True

    def adopt(self, sequence: Active) -> None:
        """Counts the blocks that a record of an earlier engine holds."""
        for pool, blocks in zip(self.pools, sequence.blocks, strict=True):
            for block in blocks:
                pool.share(block)
        self.remember(sequence)

    def remember(self, sequence: Active) -> None:
        """Names its full blocks of known tokens whose rows are computed or submitted."""
        full = min(sequence.scheduled, sequence.length) // self.block_size
        if self._shares and full > sequence.remembered:
            self._name(sequence, full)
            for pool, blocks in zip(self.pools, sequence.blocks, strict=True):
                for index in range(sequence.remembered, full):
                    pool.remember(blocks[index], sequence.names[index])
            sequence.remembered = full

    def forget(self, sequence: Active, position: int) -> set[int]:
        """Keys and values of the sequence mean nothing from `position` on: nobody finds its blocks from there any more.
        Returns those of the first cache group."""
        first = position // self.block_size
        for pool, blocks in zip(self.pools, sequence.blocks, strict=True):
            for block in blocks[first:]:
                pool.forget(block)
        return set(sequence.blocks[0][first:])

    def release(self, blocks: list[list[int]]) -> None:
        """Takes blocks back as soon as every submitted step is collected."""
        self._leaving.append((self._submitted, blocks))
        self._settle()

    def submitted(self, step: int) -> None:
        """The backend has the step: blocks given up from now on may be named by it."""
        self._submitted = step

    def collected(self, step: int) -> None:
        """The step is over: blocks given up before the next one was submitted are available."""
        self._collected = step
        self._settle()

    def check(self, sequences: Iterable[Active]) -> None:
        """Raises AssertionError unless the pools agree with themselves and with the sequences' tables."""
        holders = [Counter[int]() for _ in self.pools]
        for blocks in [*(sequence.blocks for sequence in sequences), *(blocks for _, blocks in self._leaving)]:
            for counter, held in zip(holders, blocks, strict=True):
                assert len(held) == len(blocks[0]), "cache groups hold different numbers of blocks"
                counter.update(held)
        for pool, counter in zip(self.pools, holders, strict=True):
            pool.check(counter)

    def _settle(self) -> None:
        while self._leaving and self._leaving[0][0] <= self._collected:
            _, blocks = self._leaving.popleft()
            for pool, held in zip(self.pools, blocks, strict=True):
                pool.release(reversed(held))  # the end of a prefix is forgotten before its beginning

    def _match(self, sequence: Active) -> list[tuple[int, ...]]:
        """The longest known prefix: for each of its blocks, the block in every group."""
        hits: list[tuple[int, ...]] = []
        for index in range((sequence.length - 1) // self.block_size):
            self._name(sequence, index + 1)
            blocks = [pool.find(sequence.names[index]) for pool in self.pools]
            found = tuple(block for block in blocks if block is not None)
            if len(found) < len(blocks):
                break
            hits.append(found)
        return hits

    def _coming(self, sequence: Active, index: int, running: Iterable[Active]) -> bool:
        """Whether one of `running` has that block of `sequence` among its known tokens, not yet submitted."""
        if index >= (sequence.length - 1) // self.block_size:
            return False
        for other in running:
            if other.remembered <= index < other.length // self.block_size:
                self._name(other, index + 1)
                if other.names[index] == sequence.names[index]:
                    return True
        return False

    def _name(self, sequence: Active, count: int) -> None:
        self._prefix.extend(sequence.names, sequence.tokens, sequence.prompt_length, count)
