"""A card's memory for one executable: what was allocated and for what, uploads of weights, and giving all back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType

import numpy as np

from ostinato.backends.cuda.driver import Driver, Event

ALIGNMENT = 256  # bytes: of everything that begins within an allocation
STAGING_BYTES = 64 << 20  # pinned, while weights are uploaded: two halves, one filled while the other is copied


def aligned(nbytes: int) -> int:
    """The next multiple of ALIGNMENT."""
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


@dataclass
class Memory:
    """Allocations by name. `bytes` and `pinned_bytes` say what each is; nothing is allocated behind its back."""

    driver: Driver
    bytes: dict[str, int] = field(default_factory=dict)
    pinned_bytes: dict[str, int] = field(default_factory=dict)
    _addresses: dict[str, int] = field(default_factory=dict)
    _pinned: dict[str, np.ndarray] = field(default_factory=dict)

    def allocate(self, name: str, nbytes: int) -> int:
        """Address of card memory under a new name. Raises OutOfDeviceMemoryError."""
        assert name not in self._addresses
        address = self.driver.allocate(max(nbytes, 1))
        self._addresses[name], self.bytes[name] = address, nbytes
        return address

    def pin(self, name: str, nbytes: int, clear: bool = True) -> np.ndarray:
        """uint8 [nbytes] of pinned host memory under a new name, zeros if it is to be clear."""
        assert name not in self._pinned
        memory = self.driver.pin(max(nbytes, 1))
        if clear:
            memory[:] = 0
        self._pinned[name], self.pinned_bytes[name] = memory, nbytes
        return memory[:nbytes]

    def pinned(self, name: str) -> np.ndarray:
        """What `pin` gave under that name."""
        return self._pinned[name][: self.pinned_bytes[name]]

    def address(self, name: str) -> int:
        """Of what `allocate` gave under that name."""
        return self._addresses[name]

    def release(self, name: str) -> None:
        """Card memory that nothing uses any more."""
        self.driver.release(self._addresses.pop(name))
        del self.bytes[name]

    def unpin(self, name: str) -> None:
        self.driver.unpin(self._pinned.pop(name))

    def close(self) -> None:
        """Gives everything back; nothing may be running. Twice does nothing."""
        with ExitStack() as last:
            while self._addresses:
                last.callback(self.driver.release, self._addresses.popitem()[1])
            while self._pinned:
                last.callback(self.driver.unpin, self._pinned.popitem()[1])


class Upload:
    """Copies host arrays of any size to the card through pinned staging, which is given back at the end."""

    def __init__(self, memory: Memory, staging_bytes: int = STAGING_BYTES) -> None:
        self._memory, self._half = memory, staging_bytes // 2
        self._staging = memory.pin("staging", staging_bytes)
        self._copied: list[Event | None] = [None, None]  # when each half is free again
        self._turn = 0

    def __enter__(self) -> Upload:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if kind is None:
                self._memory.driver.synchronize()
        finally:
            self._memory.unpin("staging")

    def array(self, name: str, values: np.ndarray) -> int:
        """Address of a new allocation that holds the array's bytes."""
        address = self._memory.allocate(name, values.nbytes)
        self.pieces(address, [values])
        return address

    def pieces(self, to: int, arrays: Iterable[np.ndarray]) -> None:
        """The arrays' bytes one after the other, from address `to` on."""
        for chunk in _chunks(arrays, self._half):
            self._copy(to, chunk)
            to += len(chunk)

    def _copy(self, to: int, chunk: np.ndarray) -> None:
        turn, self._turn = self._turn, 1 - self._turn
        free = self._copied[turn]
        if free is not None:
            free.wait()
        half = self._staging[turn * self._half : (turn + 1) * self._half]
        half[: len(chunk)] = chunk
        self._memory.driver.copy(to, half.ctypes.data, len(chunk))
        self._copied[turn] = self._memory.driver.event()


def _chunks(arrays: Iterable[np.ndarray], most: int) -> Iterator[np.ndarray]:
    for array in arrays:
        raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        for first in range(0, len(raw), most):
            yield raw[first : first + most]
