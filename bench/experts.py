"""Models larger than memory: Ostinato beside llama.cpp's mapped file, in the same memory control group, in one run.

    python -m bench.experts --models models --peers peers --peer-python PATH

The files (bench/routed.py; and a dense one) are written where they are missing. Every run is a process of its own in a
new group, which begins with the file out of the page cache, reads a prompt and then a text token by token; engines
alternate. Writes bench/results/DATE-experts.json with all rounds. `--stop-after` ends early: the same command with
--resume goes on.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.cgroup import evict, memory_group
from bench.compare import RESULTS, processor, recorded_command, revision
from bench.disk import sequential_bandwidth
from bench.expert_bounds import bounds, save_use
from bench.expert_figures import lines, medians
from bench.expert_runs import OURS, PEER, Engine, Run, engines, run
from bench.expert_use import figures, observe
from bench.figures import Record
from bench.forced import WARM
from bench.routed import PRESET, ROUTINGS, TYPE, write_routed
from bench.topics import TEXT
from bench.worker import WorkerError
from bench.write_model import PRESETS, write_model

DENSE = "dense"
ALL = (None, 100, 50, 25, 12)  # % of the file
BUDGETS = {"published": ALL, "middle": ALL, "strong": ALL, "weak": ALL, DENSE: (None, 30)}
PROMPT, TOKENS = 256, 544  # of the text; the first of TOKENS warm up
CONTEXT = PROMPT + TOKENS
SEED = 1
FAR_BEHIND = 2 / 3


@dataclass(frozen=True)
class Case:
    """A file, budgets in per cent of it (None: no limit), and the text's tokens."""

    name: str
    path: Path
    budgets: Sequence[int | None]
    tokens: Sequence[int]


class Bench:
    """The run, and the report that grows with it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._until = time.monotonic() + options.stop_after
        self._engines = engines(options)
        self.report = self._begin()

    def _begin(self) -> Record:
        out = self._options.out
        old = json.loads(out.read_text()) if self._options.resume and out.exists() else {}
        return {
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "commands": [*old.get("commands", []), recorded_command("bench.experts")],
            "processor": processor(),
            "cores": os.cpu_count(),
            "threads": self._options.threads,
            "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
            "revisions": sorted({*old.get("revisions", []), revision()}),
            "files": old.get("files", {}),
            "disk_bytes_per_second": old.get("disk_bytes_per_second", []),
            "rows": old.get("rows", {}),
        }

    def go(self) -> bool:
        """Whether nothing is left to do."""
        for number in range(self._options.rounds):
            for case in self._cases():
                for budget in case.budgets:
                    if not self._round(case, budget, number):
                        return False
        return True

    def _round(self, case: Case, budget: int | None, number: int) -> bool:
        """One turn of every engine that has not had it; False where the time is over."""
        row = self.report["rows"].setdefault(f"{case.name} {budget or 'no limit'}", {"runs": {}})
        limit = None if budget is None else case.path.stat().st_size * budget // 100
        row |= {"case": case.name, "budget": budget, "limit_bytes": limit}
        for engine in self._engines:
            runs: list[Record] = row["runs"].setdefault(engine.name, [])
            if len(runs) > number or not engine.takes(limit) or (number and self._left_out(row, engine)):
                continue
            if time.monotonic() > self._until:
                return False
            self._disk(case.path)
            runs.append(self._run(engine, case, limit))
            print(f"{case.name} {budget}: {engine.name}: {json.dumps(runs[-1])[:300]}", flush=True)
            self._write()
        return True

    @staticmethod
    def _left_out(row: Record, engine: Engine) -> bool:
        """After the first round: what is looked at once, and settings of llama.cpp that were far behind its best."""
        if engine.once or engine.library is None:
            return engine.once
        speed = {name: medians(runs[:1]).get("decode", 0.0) for name, runs in row["runs"].items() if PEER in name}
        return speed[engine.name] < FAR_BEHIND * max(speed.values())

    def _run(self, engine: Engine, case: Case, limit: int | None) -> Record:
        evict(case.path)
        try:
            with memory_group(None if engine.unlimited else limit) as group:
                setup = Run(case.path, self._options.threads, CONTEXT, limit, group)
                return run(engine, setup, case.tokens[:PROMPT], case.tokens[PROMPT:], self._options.seconds)
        except WorkerError as error:
            return {"error": str(error)[-600:]}

    def _disk(self, path: Path) -> None:
        self.report["disk_bytes_per_second"].append(sequential_bandwidth(path, seconds=self._options.disk_seconds))

    def _cases(self) -> Iterator[Case]:
        for name in self._options.cases:
            path = self._file(name)
            vocab = PRESETS[PRESET].vocab
            budgets = [b for b in BUDGETS[name] if b in self._options.budgets or b is None]
            yield Case(name, path, budgets, TEXT.tokens(vocab, CONTEXT, SEED).tolist())

    def _file(self, name: str) -> Path:
        """Written where it is not there yet; its hash, and how its experts are used, are in the report."""
        path: Path = self._options.models.resolve() / f"{name}-{TYPE}.gguf"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial")
            if name == DENSE:
                write_model(partial, PRESETS["tinyllama-1.1b"], TYPE, "tinyllama-1.1b")
            else:
                write_routed(partial, ROUTINGS[name], name)
            partial.rename(path)
        if path.name not in self.report["files"]:
            with open(path, "rb") as data:
                digest = hashlib.file_digest(data, "sha256").hexdigest()
            self.report["files"][path.name] = {"bytes": path.stat().st_size, "sha256": digest, **self._use(name, path)}
        return path

    def _use(self, name: str, path: Path) -> Record:
        if name == DENSE:
            return {}
        use, recalls = observe(path, TEXT.tokens(PRESETS[PRESET].vocab, CONTEXT, SEED), self._options.threads)
        save_use(path, use)
        found = figures(use, recalls, PRESETS[PRESET].experts)
        return {"routing": vars(ROUTINGS[name]), "use": vars(found)}

    def _write(self) -> None:
        self._options.out.parent.mkdir(parents=True, exist_ok=True)
        self._options.out.write_text(json.dumps(self.report) + "\n")

    def bounds(self) -> None:
        """What each policy would have hit with the slots that we had, on the same text."""
        for key, row in self.report["rows"].items():
            ours = row["runs"].get(OURS, [{}])[0]
            path = self._options.models.resolve() / f"{row['case']}-{TYPE}.gguf"
            if row["case"] != DENSE and "slot_bytes" in ours:
                row["simulated_hit_rates"] = bounds(path, ours["slot_bytes"], PROMPT, WARM)
                print(f"{key}: {row['simulated_hit_rates']}")
        self._write()


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True, help="folder of the model files")
    parser.add_argument("--peers", type=Path, required=True, help="folder of bench/build_peers.py")
    parser.add_argument("--peer-python", default=os.environ.get("OSTINATO_PEER_PYTHON", sys.executable))
    parser.add_argument("--cases", type=lambda text: text.split(","), default=list(BUDGETS))
    parser.add_argument("--budgets", type=lambda text: [int(b) for b in text.split(",")], default=[100, 50, 30, 25, 12])
    parser.add_argument("--settings", nargs="*", default=[], help="other settings of ours, such as prefetch=none")
    parser.add_argument("--only", nargs="*", default=[], help="engines whose names hold one of these words")
    parser.add_argument("--without", nargs="*", default=[], help="no engines whose names hold one of these words")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0, help="of a run's decoding")
    parser.add_argument("--disk-seconds", type=float, default=1.0, help="of reading the disk before each run")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--stop-after", type=float, default=float("inf"), metavar="SECONDS")
    parser.add_argument("--resume", action="store_true", help="keep the runs that --out holds already")
    today = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    parser.add_argument("--out", type=Path, default=RESULTS / f"{today}-experts.json")
    return parser.parse_args()


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # a disk's setting is put back, a group removed
    bench = Bench(parse_arguments())
    complete = bench.go()
    if complete:
        bench.bounds()
    print("\n".join(lines(bench.report)))
    raise SystemExit(not complete)


if __name__ == "__main__":
    main()
