"""Ctrl-C as a wish, not an exception: an answer ends between two tokens, and the model can be used again."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any


class Interruptible:
    """While it is entered, Ctrl-C calls `stop` and sets `came`; a third one raises KeyboardInterrupt as usual."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._count = 0

    @property
    def came(self) -> bool:
        return self._count > 0

    def __enter__(self) -> Interruptible:
        self._before = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _on_signal(self, number: int, frame: FrameType | None) -> Any:
        self._count += 1
        if self._count > 2:
            raise KeyboardInterrupt
        self._stop()
