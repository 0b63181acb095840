"""The runs of bench/experts.py: an engine with its settings as a process in a memory control group, and one text."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.cgroup import Group
from bench.figures import Record
from bench.worker import Worker

OURS, PEER = "ostinato", "llama.cpp"
UNLIMITED = "ostinato, in a group without a limit"  # shows what it takes by itself
READ_AHEAD = 128  # KiB: Linux's own choice; machines differ, and mapped files depend on it


@dataclass(frozen=True)
class Run:
    """One process."""

    model: Path
    threads: int
    context: int
    limit: int | None  # bytes, of the group and of ours
    group: Group


@dataclass(frozen=True)
class Engine:
    """Who runs, how it is called in the report, and the words after its command."""

    name: str
    words: tuple[str, ...] = ()
    library: Path | None = None  # of llama.cpp; None: ours
    python: str = sys.executable
    read_ahead: int | None = None  # KiB, of the disk meanwhile; None: as it is
    unlimited: bool = False  # only the engine knows of the limit
    once: bool = False  # in the first round only

    def takes(self, limit: int | None) -> bool:
        """Settings that do nothing without a limit are not run without one."""
        special = (
            self.unlimited or self.read_ahead is not None or "--prefetch" in self.words or "--policy" in self.words
        )
        return limit is not None or not special

    def start(self, run: Run) -> Worker:
        module = "bench.ours" if self.library is None else "bench.peer_worker"
        words = [*run.group.words, self.python, "-m", module, str(run.model), *self.words]
        words += ["--threads", str(run.threads), "--context", str(run.context)]
        if self.library is not None:
            return Worker(self.name, words, {"LLAMA_CPP_LIB_PATH": str(self.library)})
        return Worker(self.name, [*words, *(["--memory", str(run.limit)] if run.limit is not None else [])])


def engines(options: argparse.Namespace) -> list[Engine]:
    """Ours as it is by default, with other settings, and llama.cpp mapped, with the disk's read-ahead as it is and as
    Linux sets it. Without a limit llama.cpp may repack weights too."""
    build = options.peers.resolve() / "native"
    peer = Engine(PEER, ("--no-repack", "--flash", "on"), build, options.peer_python)
    all_of_them = [
        Engine(OURS),
        Engine(UNLIMITED, unlimited=True, once=True),
        *(Engine(f"{OURS}, {word}", tuple(f"--{word}".split("="))) for word in options.settings),
        peer,
        Engine(f"{PEER}, read-ahead {READ_AHEAD} KiB", peer.words, build, options.peer_python, READ_AHEAD),
    ]
    wanted = [e for e in all_of_them if not options.only or any(word in e.name for word in options.only)]
    return [engine for engine in wanted if not any(word in engine.name for word in options.without)]


def run(engine: Engine, run: Run, prompt: Sequence[int], tokens: Sequence[int], seconds: float) -> Record:
    """What was measured. Raises WorkerError, for a process that the system ended too."""
    with read_ahead(run.model, engine.read_ahead), engine.start(run) as worker:
        record = worker.ask("forced", prompt=prompt, tokens=tokens, limit=seconds)
        if engine.library is None:
            record |= worker.ask("slots")
        return record | {"peak_bytes": run.group.peak()}


@contextmanager
def read_ahead(model: Path, kibibytes: int | None) -> Iterator[None]:
    """The file's disk reads so far ahead meanwhile."""
    if kibibytes is None:
        yield
        return
    device = model.stat().st_dev
    setting = Path(f"/sys/dev/block/{device >> 8}:{device & 255}/queue/read_ahead_kb")
    before = setting.read_text()
    try:
        setting.write_text(str(kibibytes))
        yield
    finally:
        setting.write_text(before)
