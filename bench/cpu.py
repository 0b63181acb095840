"""Speed on a CPU: Ostinato beside llama.cpp's best builds and settings, in one run on one machine.

    python -m bench.cpu --peers peers --models models --peer-python PATH [--rows decode,prefill,batch,long]

Prints a table with what was wanted beside each figure and writes bench/results/DATE-cpu.json: command, processor,
versions, file hashes and every round. After an interruption the same command with --resume goes on with the rows that
are missing. The peers come from bench/build_peers.py; models that are missing are written first.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.candidates import Peers
from bench.compare import RESULTS, processor, recorded_command, revision
from bench.cpu_life import busy, idle, memory, start
from bench.cpu_rows import Result, Setup, long_context, one_stream, several
from bench.figures import Figure, Record, from_json, table
from bench.floor import read_bandwidth
from bench.worker import WorkerError
from bench.write_model import PRESETS, write_model
from ostinato import _cpu

MODELS = {  # name of the row: preset, type, file
    "Q4_K_M": ("tinyllama-1.1b", "Q4_K_M", "tiny-Q4_K_M.gguf"),
    "Q8_0": ("tinyllama-1.1b", "Q8_0", "tiny-Q8_0.gguf"),
    "Q4_0": ("tinyllama-1.1b", "Q4_0", "tiny-Q4_0.gguf"),
    "Q6_K": ("tinyllama-1.1b", "Q6_K", "tiny-Q6_K.gguf"),
    "MoE": ("moe-64x", "Q4_K_M", "moe-Q4_K_M.gguf"),
}
MAIN = "Q4_K_M"  # of the rows that take one file
LIFE = {"start": start, "memory": memory, "busy": busy, "idle": idle}
ROWS = ("decode", "prefill", "batch", "long", *LIFE)
LEVELS = ("amx", "avx512", "avx2")  # that have rows of their own


class Bench:
    """The run: which measurements there are, and the report that grows with each."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        flags = processor_flags()
        peers = Peers.find(options.peers.resolve(), options.peer_python, flags)
        levels = [level for level in LEVELS if level in _cpu.levels()]
        self._setup = Setup(
            options.threads, options.rounds, min(options.rounds, 3), peers, levels, has_amx="amx_int8" in flags
        )
        self.report: Record = self._begin(flags)

    def _begin(self, flags: list[str]) -> Record:
        old = json.loads(self._options.out.read_text()) if self._options.resume and self._options.out.exists() else {}
        return {
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "commands": [*old.get("commands", []), recorded_command("bench.cpu")],
            "processor": processor(),
            "instructions": [flag for flag in flags if flag.startswith(("avx", "amx", "fma", "f16c"))],
            "cores": os.cpu_count(),
            "threads": self._options.threads,
            "rounds": self._options.rounds,
            "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
            "revision": revision(),
            "files": old.get("files", {}),
            "read_bytes_per_second": old.get("read_bytes_per_second", []),
            "rows": old.get("rows", {}),
        }

    def jobs(self) -> dict[str, Callable[[], Result]]:
        """Every measurement that was asked for, by the key of its row."""
        rows, files = self._options.rows, self._options.files
        jobs: dict[str, Callable[[], Result]] = {}
        if {"decode", "prefill"} & set(rows):
            jobs |= {f"one stream/{name}": partial(self._one_stream, name) for name in files}
        if "batch" in rows:
            jobs["batch"] = self._several
        if "long" in rows:
            for kv_type in ("f16", "q8_0"):
                jobs[f"long/{kv_type}"] = partial(self._long, kv_type)
        return jobs | {key: partial(self._life, key) for key in LIFE if key in rows}

    def run(self) -> bool:
        """Whether every measurement succeeded; one that does not is reported and the others go on."""
        failed = False
        for key, job in self.jobs().items():
            if "figures" in self.report["rows"].get(key, {}):
                continue
            self.report["read_bytes_per_second"].append(read_bandwidth(self._options.threads))
            started = datetime.datetime.now(datetime.UTC)
            try:
                figures, made_of = job()
            except WorkerError as error:
                failed = True
                print(f"{key}: {error}", file=sys.stderr)
                self.report["rows"][key] = {"error": str(error)}
            else:
                seconds = (datetime.datetime.now(datetime.UTC) - started).total_seconds()
                self.report["rows"][key] = {
                    "figures": [f.as_json() for f in figures], "seconds": seconds, **made_of,
                }  # fmt: skip
                print("\n".join(table(figures)), f"\n({key}: {seconds:.0f} s)", flush=True)
            self._write()
        return not failed

    def figures(self) -> list[Figure]:
        return [from_json(f) for row in self.report["rows"].values() for f in row.get("figures", [])]

    def _one_stream(self, name: str) -> Result:
        figures, made_of = one_stream(self._setup, name, self._model(name))
        return [f for f in figures if f.work.split()[0] in self._options.rows], made_of

    def _several(self) -> Result:
        return several(self._setup, self._model(MAIN))

    def _long(self, kv_type: str) -> Result:
        return long_context(self._setup, self._model(MAIN), kv_type)

    def _life(self, key: str) -> Result:
        return LIFE[key](self._setup, self._model(MAIN))

    def _model(self, name: str) -> Path:
        """The file, written where it is not there yet, and its hash in the report."""
        preset, type, file = MODELS[name]
        path: Path = self._options.models.resolve() / file
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial")
            write_model(partial, PRESETS[preset], type, preset)
            partial.rename(path)
        if file not in self.report["files"]:
            with open(path, "rb") as data:
                digest = hashlib.file_digest(data, "sha256").hexdigest()
            self.report["files"][file] = {"bytes": path.stat().st_size, "sha256": digest}
        return path

    def _write(self) -> None:
        self._options.out.parent.mkdir(parents=True, exist_ok=True)
        self._options.out.write_text(json.dumps(self.report, indent=1) + "\n")


def processor_flags() -> list[str]:
    """What the processor can do, in Linux's words; empty elsewhere."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, required=True, help="folder of bench/build_peers.py")
    parser.add_argument("--models", type=Path, required=True, help="folder of the model files")
    parser.add_argument("--peer-python", default=os.environ.get("OSTINATO_PEER_PYTHON", sys.executable))
    parser.add_argument("--rows", type=_words(ROWS), default=list(ROWS), help=",".join(ROWS))
    parser.add_argument("--files", type=_words(tuple(MODELS)), default=list(MODELS), help=",".join(MODELS))
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--resume", action="store_true", help="keep the rows that --out holds already")
    parser.add_argument(
        "--out", type=Path, default=RESULTS / f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}-cpu.json"
    )
    return parser.parse_args()


def _words(choices: tuple[str, ...]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        if unknown := [word for word in text.split(",") if word not in choices]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(choices)}")
        return text.split(",")

    return parse


def main() -> None:
    bench = Bench(parse_arguments())
    complete = bench.run()
    print("\n".join(["", *table(bench.figures())]))
    print(f"memory was read at {statistics.median(bench.report['read_bytes_per_second'] or [0]) / 1e9:.1f} GB/s")
    raise SystemExit(not complete)


if __name__ == "__main__":
    main()
