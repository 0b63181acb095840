"""The ways in which llama.cpp may be run against us: builds (bench/build_peers.py) x settings, and which did best.

"Best of all" is looked for among all builds that this machine can run, "the same instructions" among those builds
that have them. A short look at every candidate chooses those that take part in the rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.worker import Record, Worker, WorkerError

NEEDS = {"avx2": "avx2", "avx512": "avx512_vnni", "amx": "amx_int8"}  # processor flags of the builds that name them
GENERAL = ("native", "threads")  # for whatever this machine has


@dataclass(frozen=True)
class Candidate:
    """A build and its settings. The context's shape is the measurement's own."""

    build: str
    repack: bool = True
    flash: str = "on"
    unified: bool = False

    def __str__(self) -> str:
        repack = "repack" if self.repack else "no repack"
        return f"{self.build}, {repack}, flash {self.flash}" + (", unified KV" if self.unified else "")


@dataclass(frozen=True)
class Peers:
    """Where the builds lie and what loads them."""

    folder: Path
    python: str
    builds: Sequence[str]  # that are there and can run here

    @classmethod
    def find(cls, folder: Path, python: str, flags: Iterable[str]) -> Peers:
        """Raises SystemExit where nothing was built."""
        usable = [name for name in (*GENERAL, *NEEDS) if name in GENERAL or NEEDS[name] in set(flags)]
        builds = [name for name in usable if (folder / name).is_dir()]
        if "native" not in builds:
            raise SystemExit(f"{folder} holds no build of llama.cpp: python -m bench.build_peers {folder}")
        return cls(folder, python, builds)

    @property
    def strongest(self) -> list[str]:
        """Builds for what this machine has, and the one for the most of it that can be named."""
        named = [name for name in NEEDS if name in self.builds]
        return [name for name in self.builds if name in GENERAL or name in named[-1:]]

    def same_instructions(self, level: str, has_amx: bool) -> list[str]:
        """Builds with the instructions of our level and none beyond them that would matter."""
        general = [name for name in GENERAL if level == ("amx" if has_amx else "avx512")]
        return [name for name in (level, *general) if name in self.builds]

    def start(
        self,
        candidate: Candidate,
        model: Path,
        threads: int,
        shape: Mapping[str, int | str],
        inside: Sequence[str] = (),
    ) -> Worker:
        """A worker for it; `shape` has sequences, context and kv-type. Words of `inside` come before the command."""
        words = [*inside, self.python, "-m", "bench.peer_worker", str(model), "--threads", str(threads)]
        words += ["--flash", candidate.flash]
        words += [word for name, value in shape.items() for word in (f"--{name}", str(value))]
        words += ["--no-repack"] * (not candidate.repack) + ["--unified"] * candidate.unified
        return Worker(str(candidate), words, {"LLAMA_CPP_LIB_PATH": str(self.folder / candidate.build)})


Look = Callable[[Candidate], Record]


def scout(builds: Sequence[str], look: Look, settings: Sequence[Candidate]) -> dict[Candidate, Record]:
    """A look at the settings on the native build, then at every other build with those that were best at anything
    there (and its own choice of repacking, which depends on the instructions). A candidate that fails is left out."""
    found = {c: record for c in settings if (record := _try(look, c))}
    leaders = {max(found, key=lambda c: found[c][figure]) for figure in _figures(found)}
    for build in builds:
        wanted = {replace(c, build=build) for c in leaders}
        if build not in GENERAL:
            wanted = {replace(c, repack=repack) for c in wanted for repack in (True, False)}
        found |= {c: record for c in sorted(wanted - found.keys(), key=str) if (record := _try(look, c))}
    return found


def _try(look: Look, candidate: Candidate) -> Record | None:
    try:
        return look(candidate)
    except WorkerError as error:
        print(f"left out: {error}")
        return None


def _figures(found: Mapping[Candidate, Record]) -> list[str]:
    if not found:
        raise WorkerError("llama.cpp ran with none of its settings")
    return list(next(iter(found.values())))


def best(found: Mapping[Candidate, Record], figure: str, builds: Sequence[str]) -> Candidate | None:
    """The one of these builds with the highest figure."""
    those = [c for c in found if c.build in builds]
    return max(those, key=lambda c: found[c][figure], default=None)
