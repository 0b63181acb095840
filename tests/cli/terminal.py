"""A command on a pseudo-terminal, as someone who types sees it."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time

from tests.cli.support import COMMAND


class Terminal:
    """`ostinato WORDS`, its input and output one terminal."""

    def __init__(self, *words: str, env: dict[str, str] | None = None) -> None:
        self._master, slave = pty.openpty()
        self._child = subprocess.Popen(
            [*COMMAND, *words], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env={**os.environ, "TERM": "dumb", "INPUTRC": "/dev/null", **(env or {})}, preexec_fn=_own_terminal,
        )  # fmt: skip
        os.close(slave)
        self.seen = ""

    def expect(self, text: str, seconds: float = 30.0) -> str:
        """Reads until `text` comes; returns what came before it, and takes both out of `seen`."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < deadline, f"{text!r} did not come: {self.seen!r}"
            if select.select([self._master], [], [], 0.1)[0]:
                self.seen += os.read(self._master, 4096).decode(errors="replace")
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def say(self, line: str) -> str:
        """Types a line at the prompt; returns what is answered up to the next prompt."""
        self.type(f"{line}\n")
        self.expect("\n")
        return self.expect(">>> ").strip()

    def end(self) -> int:
        """The exit status."""
        try:
            deadline = time.monotonic() + 20
            while self._child.poll() is None and time.monotonic() < deadline:
                self._drain()
            self._drain()
            return self._child.wait(timeout=1)
        finally:
            self._child.kill()
            self._child.wait()
            os.close(self._master)

    def _drain(self) -> None:
        """A child whose output nobody reads does not end; a terminal without a child gives an error."""
        try:
            while select.select([self._master], [], [], 0.05)[0]:
                self.seen += os.read(self._master, 4096).decode(errors="replace")
        except OSError:
            return


def _own_terminal() -> None:
    """Makes the terminal the child's own, so that Ctrl-C typed there reaches it."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
