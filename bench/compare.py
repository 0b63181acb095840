"""Ostinato beside llama.cpp on one file, in alternating rounds of one run, with the physical floor under both.

    python -m bench.compare MODEL --threads 2 -p 512 -n 64 --rounds 5 --peer-python PATH

The peer's interpreter (one that has llama-cpp-python) is --peer-python or $OSTINATO_PEER_PYTHON. Prints a table and
writes bench/results/DATE-MODEL.json with the command, the versions, the processor and every round.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.floor import bytes_per_token, read_bandwidth

FIELDS = (
    "load_seconds",
    "first_token_seconds",
    "prefill_tokens_per_second",
    "decode_tokens_per_second",
    "peak_memory_bytes",
)
RESULTS = Path(__file__).resolve().parent / "results"
_TIMEOUT_SECONDS = 1800
Record = dict[str, Any]


def run_json(command: Sequence[str]) -> Record:
    """Run one half of a round and return the JSON object that it prints last."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False)
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)}\nended with {done.returncode}:\n{done.stderr[-2000:]}")
    text = done.stdout[done.stdout.index("{") :]
    record: Record = json.loads(text)
    return record


def processor() -> str:
    """The processor's name as the system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def revision() -> str:
    """The commit of this checkout, with -dirty where it has changes; empty outside of one."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    return subprocess.run(command, capture_output=True, text=True, cwd=RESULTS.parent, check=False).stdout.strip()


def recorded_command(module: str) -> str:
    """How this benchmark was called, to be kept with its figures; of folders elsewhere their names only."""
    words = (Path(word).name if Path(word).is_absolute() else word for word in sys.argv[1:])
    return f"python -m {module} {shlex.join(words)}"


def medians(rounds: Sequence[Record]) -> dict[str, float]:
    """The median of every field that all rounds have."""
    shared = [field for field in FIELDS if all(field in record for record in rounds)]
    return {field: statistics.median(record[field] for record in rounds) for field in shared}


def summarise(ours: Sequence[Record], peers: Sequence[Record], floor: float) -> Record:
    """Medians of both, ours over the peer's, and time per token over the floor's (`floor`: seconds)."""
    mine, other = medians(ours), medians(peers)
    per_token = {"ostinato": 1 / mine["decode_tokens_per_second"], "peer": 1 / other["decode_tokens_per_second"]}
    return {
        "ostinato": mine,
        "peer": other,
        "ratio_ostinato_to_peer": {field: mine[field] / other[field] for field in mine if other.get(field)},
        "time_per_token_ratio": per_token["ostinato"] / per_token["peer"],
        "times_the_floor": {name: seconds / floor for name, seconds in per_token.items()},
    }


def print_table(summary: Record, floor: float, bandwidth: float) -> None:
    """The summary for a person."""
    print(f"{'':28}{'ostinato':>14}{'peer':>14}{'ratio':>9}")
    for field, ratio in summary["ratio_ostinato_to_peer"].items():
        print(f"{field:28}{summary['ostinato'][field]:14.4g}{summary['peer'][field]:14.4g}{ratio:9.3f}")
    over = summary["times_the_floor"]
    print(f"floor: {1e3 * floor:.2f} ms per token (its weights once at {bandwidth / 1e9:.1f} GB/s); ", end="")
    print(f"ostinato {over['ostinato']:.2f} times, peer {over['peer']:.2f} times")
    print(f"time per token, ostinato over peer: {summary['time_per_token_ratio']:.3f}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("-p", "--prompt", type=int, default=512)
    parser.add_argument("-n", "--generate", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer-python", default=os.environ.get("OSTINATO_PEER_PYTHON"))
    parser.add_argument("--out", type=Path, help="where the JSON goes (default: bench/results/DATE-MODEL.json)")
    options = parser.parse_args()
    if not options.peer_python:
        parser.error("name an interpreter that has llama-cpp-python: --peer-python or OSTINATO_PEER_PYTHON")
    if not options.model.is_file():
        parser.error(f"no such file: {options.model}")
    return options


def main() -> None:
    """Alternate the two, then report and record."""
    options = parse_arguments()
    work = ["-p", str(options.prompt), "-n", str(options.generate), "--threads", str(options.threads)]
    our_command = [sys.executable, "-m", "ostinato.cli.main", "bench", str(options.model), *work, "--json"]
    peer_script = str(Path(__file__).resolve().parent / "peer.py")
    peer_command = [options.peer_python, peer_script, str(options.model), *work]
    ours, peers = [], []
    for _ in range(options.rounds):
        ours.append(run_json(our_command))
        peers.append(run_json(peer_command))
    bandwidth = read_bandwidth(options.threads)
    weight_bytes = bytes_per_token(options.model)
    floor = weight_bytes / bandwidth
    summary = summarise(ours, peers, floor)
    print_table(summary, floor, bandwidth)
    date = datetime.datetime.now(datetime.UTC)
    record = {
        "date": date.isoformat(timespec="seconds"),
        "command": f"python -m bench.compare {options.model.name} {shlex.join(work)} --rounds {options.rounds}",
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "revision": revision(),
        "peer_version": peers[0]["version"],
        "model": options.model.name,
        "model_bytes": options.model.stat().st_size,
        "model_sha256": peers[0]["model_sha256"],
        "read_bytes_per_second": bandwidth,
        "weight_bytes_per_token": weight_bytes,
        "floor_seconds_per_token": floor,
        **summary,
        "rounds": {"ostinato": ours, "peer": peers},
    }
    out = options.out or RESULTS / f"{date:%Y-%m-%d}-{options.model.stem}-t{options.threads}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record, indent=2) + "\n")
    print(out)


if __name__ == "__main__":
    main()
