"""One side of a comparison as a process that stays: it loads a model once, then measures whenever it is asked.

So the engines can take turns every few seconds, on a machine whose speed drifts, without loading anything again.
Requests and answers are JSON, a line each. This file needs the standard library only: both interpreters import it.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOADING_SECONDS = 120
SEED_CONTEXT = 256  # tokens that workers really prefill where a long context is wanted; the rest are copies
Record = dict[str, Any]


class WorkerError(RuntimeError):
    """A worker that ended or did not answer in time; the text tells its command and last words."""


def serve(jobs: Mapping[str, Callable[..., Record]]) -> None:
    """The worker's half: answers requests until its input ends. What anybody else prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(jobs[request.pop("job")](**request)), file=answers, flush=True)


def read_bytes() -> int:
    """What this process has had read from disks so far, for faults and read-ahead too; 0 where nobody counts it."""
    counted = Path("/proc/self/io")
    lines = counted.read_text().splitlines() if counted.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith("read_bytes:")), 0)


class Worker:
    """The driver's half."""

    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        """Raises WorkerError where the model cannot be loaded."""
        self.name, self._command = name, command
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, cwd=ROOT,
            env={**os.environ, **(env or {})},
        )  # fmt: skip
        self._answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self._answer(LOADING_SECONDS)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, job: str, seconds: float = 300, **arguments: Any) -> Record:
        """The answer to one request. Raises WorkerError."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"job": job, **arguments}) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise self._error("ended") from None
        return self._answer(seconds)

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        self._errors.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")

    def _answer(self, seconds: float) -> Record:
        try:
            line = self._answers.get(timeout=seconds)
        except queue.Empty:
            raise self._error(f"gave no answer in {seconds:.0f} s") from None
        if not line:
            raise self._error("ended")
        record: Record = json.loads(line)
        return record

    def _error(self, what: str) -> WorkerError:
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace")[-1500:]
        self.close()
        return WorkerError(f"{self.name} {what}: {' '.join(self._command)}\n{said}")
