"""Runs the command line: as a user does, in a process of its own, or quickly, in this one."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from unittest import mock

from ostinato.cli.main import main

COMMAND = (sys.executable, "-m", "ostinato.cli.main")


def ostinato(
    *words: str, stdin: bytes = b"", env: dict[str, str] | None = None, seconds: float = 60
) -> subprocess.CompletedProcess[str]:
    """Runs `ostinato WORDS` to its end."""
    done = subprocess.run(
        [*COMMAND, *words], input=stdin, capture_output=True, timeout=seconds, check=False,
        env={**os.environ, **(env or {})},
    )  # fmt: skip
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def call(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    """The same in this process."""
    out, err = io.StringIO(), io.StringIO()
    with tempfile.TemporaryFile() as file, redirect_stdout(out), redirect_stderr(err):
        file.write(stdin)
        file.seek(0)
        with io.TextIOWrapper(file) as text, mock.patch("sys.stdin", text):
            try:
                status = main(words)
            except SystemExit as end:
                status = int(end.code or 0)
    return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())


def start(
    words: Sequence[str], env: dict[str, str] | None = None, stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[str]:
    """Starts `ostinato WORDS`; its output can be read while it runs."""
    return subprocess.Popen(
        [*COMMAND, *words], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **(env or {})},
    )  # fmt: skip


@contextmanager
def heard(sent: signal.Signals) -> Iterator[None]:
    """Python's own handler of a signal, also where this process was started with it ignored (`nohup ... &`). Whatever
    runs inside must leave it as it was."""
    own = signal.default_int_handler if sent == signal.SIGINT else signal.SIG_DFL
    outer = signal.signal(sent, own)
    try:
        yield
        assert signal.getsignal(sent) is own
    finally:
        signal.signal(sent, outer)
