"""BlockPool: which blocks of one cache group are free, in use (and how often), or kept because a prompt may
come back that begins with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class BlockPool:
    """Blocks 0 .. count, each in exactly one of three states:

    free        nobody holds it and nothing is known of what it contains
    referenced  `holders` sequences hold it
    kept        nobody holds it, but its content has a name; the one that was let go first is taken first

    A referenced block may have a name too: whoever finds it by name shares it. Blocks `open` .. count are lent: their
    memory serves something else, and they are in no state until they come back.
    """

    def __init__(self, count: int) -> None:
        self.count = self.open = count
        self._holders: dict[int, int] = {}  # of the referenced blocks
        self._free = dict.fromkeys(reversed(range(count)))  # an ordered set; taken from the end
        self._kept: dict[int, None] = {}  # in the order in which they were let go
        self._by_name: dict[bytes, int] = {}
        self._names: dict[int, bytes] = {}

    @property
    def available(self) -> int:
        """Blocks that `take` can give."""
        return len(self._free) + len(self._kept)

    def take(self) -> int:
        """A block for one holder; a kept one loses its name. Raises IndexError when none is available."""
        if self._free:
            block, _ = self._free.popitem()
        elif self._kept:
            block = next(iter(self._kept))
            del self._kept[block]
            del self._by_name[self._names.pop(block)]
        else:
            raise IndexError(f"all {self.count} blocks are referenced")
        self._holders[block] = 1
        return block

    def share(self, block: int) -> None:
        """One holder more, of a block in any state."""
        self._kept.pop(block, None)
        self._free.pop(block, None)
        self._holders[block] = self._holders.get(block, 0) + 1

    def release(self, blocks: Iterable[int]) -> None:
        """One holder less each. Give them in the order in which they should be forgotten."""
        for block in blocks:
            self._holders[block] -= 1
            if self._holders[block] == 0:
                del self._holders[block]
                (self._kept if block in self._names else self._free)[block] = None

    @property
    def lendable(self) -> int:
        """Free blocks at the upper end, one after the other."""
        first = self.open
        while first and first - 1 in self._free:
            first -= 1
        return self.open - first

    def lend(self, count: int) -> range:
        """Gives up so many lendable blocks."""
        lent = range(self.open - count, self.open)
        for block in lent:
            del self._free[block]
        self.open = lent.start
        return lent

    def take_back(self, count: int) -> None:
        """So many lent blocks are free again; they are taken last, so that they may be lent once more."""
        back = range(self.open, self.open + count)
        self._free = dict.fromkeys([*reversed(back), *self._free])
        self.open = back.stop

    def idle(self, block: int) -> bool:
        """Whether nobody holds it."""
        return block not in self._holders

    def find(self, name: bytes) -> int | None:
        """The block whose content has this name."""
        return self._by_name.get(name)

    def remember(self, block: int, name: bytes) -> None:
        """Names the content of a referenced block. The first block of a name stays the one that is found."""
        if name not in self._by_name and block not in self._names:
            self._by_name[name] = block
            self._names[block] = name

    def forget(self, block: int) -> None:
        """The content of a referenced block is not what its name says: nobody will find it by name any more."""
        if block in self._names:
            del self._by_name[self._names.pop(block)]

    def check(self, holders: Mapping[int, int]) -> None:
        """Raises AssertionError unless the pool agrees with itself and with `holders` (block -> how many)."""
        assert self._holders == holders, f"blocks and their holders: {self._holders}, not {holders}"
        free, kept, held = self._free.keys(), self._kept.keys(), self._holders.keys()
        disjoint = free.isdisjoint(kept) and free.isdisjoint(held) and kept.isdisjoint(held)
        assert disjoint, "a block is in two states"
        assert len(free) + len(kept) + len(held) == self.open <= self.count, "blocks are lost"
        assert all(0 <= block < self.open for block in (*free, *kept, *held)), "a block does not exist, or is lent"
        assert self._names.keys().isdisjoint(free), "a free block has a name"
        assert kept <= self._names.keys(), "a kept block has no name"
        assert {name: block for block, name in self._names.items()} == self._by_name, "names disagree"
