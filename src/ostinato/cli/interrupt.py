"""Signals as wishes: Ctrl-C ends an answer between two tokens, SIGTERM lets a command clear up what it was writing."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """SIGTERM raises SystemExit, so that the half-written file is removed."""

    def leave(number: int, _: object) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
