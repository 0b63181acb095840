"""Our end of the pipe to the process that renders templates (worker.py). Whatever comes back is not trusted."""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Any

PATIENCE = 30.0  # seconds on the wall for one rendering; the worker itself stops after two of work
MAX_ANSWER = 128 << 20  # bytes: JSON takes at most 12 for each of worker.MAX_TEXT characters
# Of our environment the worker gets what finding Python's modules takes, and no more: others hold secrets.
KEPT = re.compile("HOME|PATH|(PYTHON|LD_|DYLD_).*")


class RenderError(Exception):
    """No text, and the words say why."""


class Renderer:
    """Renders by a worker that is started on first use (or `start`) and again after one that died. Thread-safe, one
    rendering at a time."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self._hello = json.dumps(dict(sources)).encode() + b"\n"
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the worker without waiting for it."""
        with self._lock:
            self._running()

    def render(self, question: Mapping[str, Any]) -> str:
        """The text; `question` as worker.py has it. Raises RenderError."""
        try:
            line = json.dumps(question).encode() + b"\n"
        except (TypeError, ValueError, RecursionError) as error:
            raise RenderError(f"what it is given must be JSON's values: {error}") from error
        with self._lock:
            answer = self._ask(line)
        match answer:
            case {"text": str(text)}:
                return text
            case {"error": str(words), "line": int(number)}:
                raise RenderError(f"line {number}: {words}")
            case {"error": str(words)}:
                raise RenderError(words)
        raise RenderError("its process answered what is no answer")

    def close(self) -> None:
        """Ends the worker."""
        with self._lock:
            self._end()

    def _ask(self, line: bytes) -> Any:
        child = self._running()
        assert child.stdin is not None
        try:
            child.stdin.write(line)
            child.stdin.flush()
            return json.loads(_read_line(child))
        except (OSError, EOFError, ValueError, RecursionError):
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(0.5)  # it is dying: from what?
            timed_out = child.returncode in (None, -signal.SIGVTALRM)
            self._end()
            return {"error": f"it was stopped: too much {'time' if timed_out else 'memory'} for one prompt"}

    def _running(self) -> subprocess.Popen[bytes]:
        """The worker, started when it is not there. It is told the templates first."""
        if self._child is None or self._child.poll() is not None:
            self._end()
            command = [sys.executable, "-P", "-m", "ostinato.templates.worker"]  # -P: no imports from where we stand
            pipe = subprocess.PIPE
            self._child = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=_environment(),
                start_new_session=True,
            )  # fmt: skip
            assert self._child.stdin is not None
            with contextlib.suppress(OSError):  # it died over the templates: reading its answer will say so
                self._child.stdin.write(self._hello)
                self._child.stdin.flush()
        return self._child

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            with contextlib.suppress(OSError):  # a pipe to a dead child may still hold unwritten bytes
                assert pipe is not None
                pipe.close()


def _read_line(child: subprocess.Popen[bytes]) -> bytes:
    assert child.stdout is not None
    line = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            part = os.read(child.stdout.fileno(), 1 << 16) if selector.select(PATIENCE) else b""
            if not part or len(line) > MAX_ANSWER:
                raise EOFError("no answer")
            line += part
    return bytes(line)


def _environment() -> dict[str, str]:
    """The worker imports this very package, wherever it lies."""
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    kept = {name: value for name, value in os.environ.items() if KEPT.fullmatch(name)}
    return {**kept, "PYTHONPATH": os.pathsep.join(paths)}
