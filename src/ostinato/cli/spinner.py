"""A sign of life while nothing can be counted: on standard error, on a terminal, after a moment."""

from __future__ import annotations

import itertools
import sys
import threading

from ostinato.cli.output import one_line
from ostinato.cli.progress import CLEAR, draws

DELAY = 0.2  # seconds: who answers at once needs no spinner
INTERVAL = 0.08  # seconds a frame
FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
PLAIN_FRAMES = "|/-\\"  # where standard error cannot write the others


class Spinner:
    """Turns from `__enter__` to `stop` (or `__exit__`), then leaves its line empty."""

    def __init__(self, text: str = "") -> None:
        self._text = one_line(text)
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Spinner:
        if draws(sys.stderr.isatty()):
            self._thread = threading.Thread(target=self._turn, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """The line is free when this returns. Idempotent."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._end.set()
            thread.join()

    def _turn(self) -> None:
        if self._end.wait(DELAY):
            return
        for frame in itertools.cycle(_frames()):
            sys.stderr.write(f"{CLEAR}{frame} {self._text}")
            sys.stderr.flush()
            if self._end.wait(INTERVAL):
                break
        sys.stderr.write(CLEAR)
        sys.stderr.flush()


def _frames() -> str:
    return FRAMES if (sys.stderr.encoding or "").lower().startswith("utf") else PLAIN_FRAMES
