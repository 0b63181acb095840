"""Bell: one process wakes another. An eventfd on Linux, a pipe elsewhere; nobody spins."""

from __future__ import annotations

import contextlib
import os
import select
from dataclasses import dataclass


@dataclass(frozen=True)
class Bell:
    """Readable from a ring until it is cleared. `reader` and `writer` are the same where there is an eventfd."""

    reader: int
    writer: int

    @classmethod
    def create(cls) -> Bell:
        """A silent bell; its descriptors are not inherited unless passed on."""
        if hasattr(os, "eventfd"):
            fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            return cls(fd, fd)
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        return cls(reader, writer)

    def ring(self) -> None:
        """Wakes whoever waits. Ringing twice is ringing once; a full pipe is ringing already."""
        with contextlib.suppress(BlockingIOError):
            os.write(self.writer, (1).to_bytes(8, "little") if self.reader == self.writer else b"!")

    def clear(self) -> None:
        """Silences it. What was rung for before is to be looked at after."""
        with contextlib.suppress(BlockingIOError):
            while len(os.read(self.reader, 4096)) == 4096:
                pass

    def wait(self, alive: int, timeout: float | None = None) -> bool:
        """Sleeps until it rings (then clears it) or `timeout` seconds pass. False when `alive`, the reading end of
        a pipe whose writer is the other process, reports that the other process is gone."""
        poll = select.poll()
        poll.register(self.reader, select.POLLIN)
        poll.register(alive, 0)
        events = dict(poll.poll(None if timeout is None else timeout * 1000))
        if self.reader in events:
            self.clear()
        return alive not in events

    def close(self) -> None:
        """Gives the descriptors back."""
        for fd in {self.reader, self.writer}:
            os.close(fd)
