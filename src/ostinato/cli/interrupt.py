"""Ctrl-C as a wish, not an exception: an answer ends between two tokens, and the model can be used again."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator
from types import FrameType
from typing import Any


class Interruptible:
    """While it is entered, the first Ctrl-C sets `came`; a second one raises KeyboardInterrupt as usual."""

    def __init__(self) -> None:
        self.came = False

    def __enter__(self) -> Interruptible:
        self._before = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def until(self, pieces: Iterator[str]) -> Generator[str]:
        """The pieces up to the first Ctrl-C; then `pieces` is closed."""
        for piece in pieces:
            yield piece
            if self.came:
                break
        if isinstance(pieces, Generator):
            pieces.close()

    def _on_signal(self, number: int, frame: FrameType | None) -> Any:
        if self.came:
            raise KeyboardInterrupt
        self.came = True
