"""Instructions a token, counted by callgrind: a figure that does not drift with the machine.

    python -m bench.instructions --models models --peers peers --peer-python PATH [--files Q4_K_M,Q4_0]

Valgrind has no AVX-512, so both engines run with AVX2: ours at that level, llama.cpp in the build for it, repacked or
not, on one thread. A process is counted whole; what a token takes is the difference of two that differ in tokens alone.
Prints a table and writes bench/results/DATE-instructions.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.compare import RESULTS, processor, recorded_command, revision
from bench.cpu import MODELS
from bench.worker import ROOT, Record

BUILD = "avx2"  # of llama.cpp, by bench/build_peers.py
SHORT, LONG = (2, 2), (2, 6)  # (prompt, tokens): four generated rows more
PROMPT = (66, 2)  # 64 prompt rows more than SHORT
CONTEXT = 128
COLLECTED = re.compile(r"Collected\s*:\s*(\d+)")


class CountError(RuntimeError):
    """Valgrind is not there, or the process ended badly; the text has its last words."""


@dataclass(frozen=True)
class Engine:
    """How it is started."""

    name: str
    command: Sequence[str]
    env: dict[str, str]

    def count(self, prompt: int, tokens: int) -> int:
        """Instructions of a process that loads the model and answers once. Raises CountError."""
        request = json.dumps({"job": "run", "sequences": 1, "prompt": prompt, "tokens": tokens})
        with tempfile.NamedTemporaryFile("r") as log:
            counted = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={log.name}"]
            try:
                done = subprocess.run(
                    [*counted, *self.command], input=request + "\n", capture_output=True, text=True, cwd=ROOT,
                    env={**os.environ, **self.env}, check=False,
                )  # fmt: skip
            except FileNotFoundError:
                raise CountError("there is no valgrind here; install it, it counts the instructions") from None
            found = COLLECTED.search(log.read())
        if done.returncode or found is None:
            raise CountError(f"{self.name} ended with {done.returncode}: {done.stderr[-1000:]}")
        return int(found[1])

    def measure(self) -> Record:
        """Instructions of a generated token behind a short context, and of a prompt token."""
        short, long, prompt = (self.count(*shape) for shape in (SHORT, LONG, PROMPT))
        return {
            "decode": (long - short) / (LONG[1] - SHORT[1]),
            "prefill": (prompt - short) / (PROMPT[0] - SHORT[0]),
            "counts": {"short": short, "long": long, "prompt": prompt},
        }


def engines(model: Path, options: argparse.Namespace) -> list[Engine]:
    """Ours, and llama.cpp's in both settings."""
    words = [str(model), "--threads", "1", "--context", str(CONTEXT)]
    peer = [options.peer_python, "-m", "bench.peer_worker", *words, "--flash", "on"]
    library = {"LLAMA_CPP_LIB_PATH": str((options.peers / BUILD).resolve())}
    return [
        Engine("ostinato", [sys.executable, "-m", "bench.ours", *words], {"OSTINATO_CPU": "avx2"}),
        Engine("llama.cpp, repack", peer, library),
        Engine("llama.cpp, no repack", [*peer, "--no-repack"], library),
    ]


def row(name: str, figure: str, found: Record) -> str:
    """A line of the table: millions of instructions, and how many of the better peer's ours are."""
    ours = found["ostinato"][figure]
    theirs = min(record[figure] for engine, record in found.items() if engine != "ostinato")
    return f"{figure:8} {name:8} {ours / 1e6:10.1f} {theirs / 1e6:10.1f} {ours / theirs:8.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True, help="folder of bench/cpu.py's model files")
    parser.add_argument("--peers", type=Path, required=True, help="folder of bench/build_peers.py")
    parser.add_argument("--peer-python", default=os.environ.get("OSTINATO_PEER_PYTHON", sys.executable))
    parser.add_argument("--files", default=",".join(MODELS), help="of " + ",".join(MODELS))
    today = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    parser.add_argument("--out", type=Path, default=RESULTS / f"{today}-instructions.json")
    options = parser.parse_args()
    report: Record = {
        "date": today, "command": recorded_command("bench.instructions"), "processor": processor(),
        "revision": revision(), "level": BUILD, "threads": 1, "files": {},
    }  # fmt: skip
    print(f"{'':8} {'':8} {'ostinato':>10} {'llama.cpp':>10} {'ratio':>8}   millions of instructions a token")
    for name in options.files.split(","):
        model = (options.models / MODELS[name][2]).resolve()
        found = {engine.name: engine.measure() for engine in engines(model, options)}
        report["files"][name] = found
        print(*(row(name, figure, found) for figure in ("decode", "prefill")), sep="\n", flush=True)
        options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
