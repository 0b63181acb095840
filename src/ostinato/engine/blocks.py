"""BlockPool: which blocks of one cache group are free, in use (and how often), or kept because a prompt may
come back that begins with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class BlockPool:
    """Blocks 0 .. count, each in exactly one of three states:

    free        nobody holds it and nothing is known of what it contains
    referenced  `holders` sequences hold it
    kept        nobody holds it, but its content has a name; the one that was let go first is taken first

    A referenced block may have a name too: whoever finds it by name shares it.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._holders = [0] * count
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
        self._holders[block] += 1

    def release(self, blocks: Iterable[int]) -> None:
        """One holder less each. Give them in the order in which they should be forgotten."""
        for block in blocks:
            self._holders[block] -= 1
            if self._holders[block] == 0:
                (self._kept if block in self._names else self._free)[block] = None

    def idle(self, block: int) -> bool:
        """Whether nobody holds it."""
        return self._holders[block] == 0

    def find(self, name: bytes) -> int | None:
        """The block whose content has this name."""
        return self._by_name.get(name)

    def remember(self, block: int, name: bytes) -> None:
        """Names the content of a referenced block. The first block of a name stays the one that is found."""
        if name not in self._by_name and block not in self._names:
            self._by_name[name] = block
            self._names[block] = name

    def check(self, holders: Mapping[int, int]) -> None:
        """Raises AssertionError unless the pool agrees with itself and with `holders` (block -> how many)."""
        for block in range(self.count):
            held = self._holders[block]
            states = (block in self._free) + (block in self._kept) + (held > 0)
            assert states == 1, f"block {block} is in {states} states"
            assert held == holders.get(block, 0), f"block {block}: {held} holders, not {holders.get(block, 0)}"
            assert block not in self._free or block not in self._names, f"free block {block} has a name"
            assert block not in self._kept or block in self._names, f"kept block {block} has no name"
        assert {name: block for block, name in self._names.items()} == self._by_name, "names disagree"
