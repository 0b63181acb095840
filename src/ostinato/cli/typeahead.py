"""Typing while an answer comes: kept for the next prompt, not shown in the middle of the answer."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def unechoed() -> Iterator[None]:
    """The terminal on standard input shows nothing that is typed. For a chat only: a process in the background would
    be stopped for touching the terminal."""
    if not sys.stdin.isatty():
        yield
        return
    import termios

    handle = sys.stdin.fileno()
    before = termios.tcgetattr(handle)
    silent = [*before]
    silent[3] = before[3] & ~termios.ECHO  # local modes
    termios.tcsetattr(handle, termios.TCSANOW, silent)
    try:
        yield
    finally:
        termios.tcsetattr(handle, termios.TCSANOW, before)
