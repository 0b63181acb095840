"""Everything to be known about a card before and after there is code for it: `make gpu-bench`.

    python -m bench.gpu.run --out bench/results            micro-benchmarks, llama.cpp's CUDA build, Ostinato
    python -m bench.gpu.run --out FOLDER --only bandwidth,rings

Each part runs in a process of its own with a time limit; a part that fails is recorded with its error, the others go
on. The result is one JSON file named after the day and the card. Not yet run on a card.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MICRO = ("bandwidth", "barrier", "rings", "matvec")
SECONDS = 540  # of a whole run
MODELS = ("llama-1b", "llama-8b", "moe-30b-a3b")  # bench.write_model writes the files that are not there
WORK = ((512, "1,8,64"), (8192, "1"))  # prompt tokens, streams at once
GENERATED = 64


def card() -> dict[str, str]:
    """Name, driver and memory of the first card, as nvidia-smi says."""
    fields = ("name", "driver_version", "memory.total", "power.limit", "clocks.max.sm", "clocks.max.mem")
    done = _call(["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader", "--id=0"], 30)
    return dict(zip(fields, (value.strip() for value in done.split(",")), strict=True))


def micro(name: str, folder: Path) -> list[dict[str, Any]]:
    """Builds and runs one of the CUDA programs beside this file."""
    program = folder / name
    _call(["nvcc", "-std=c++20", "-O3", "-arch=native", "-o", str(program), str(HERE / f"{name}.cu")], 120)
    return [json.loads(line) for line in _call([str(program)], 120).splitlines()]


def model_file(preset: str, folder: Path) -> Path:
    """The preset in Q4_K_M with random weights; written once."""
    path = folder / f"{preset}-q4_k_m.gguf"
    if not path.exists():
        _call([sys.executable, "-m", "bench.write_model", preset, "--type", "Q4_K_M", "--out", str(path)], 300)
    return path


def peer(model: Path) -> list[dict[str, Any]]:
    """llama.cpp built with CUDA, all layers on the card; the interpreter is OSTINATO_PEER_PYTHON."""
    python = os.environ["OSTINATO_PEER_PYTHON"]
    return _bench([python, str(ROOT / "bench" / "peer.py"), str(model), "--gpu-layers", "999", "--threads", "8"])


def ours(model: Path) -> list[dict[str, Any]]:
    """`ostinato bench --backend cuda` on the same work."""
    return _bench([sys.executable, "-m", "ostinato.cli.main", "bench", str(model), "--backend", "cuda", "--json"])


def experts(folder: Path) -> list[dict[str, Any]]:
    """A mixture whose experts are used unevenly, in parts of the card's memory (bench/gpu/experts.py)."""
    path = folder / "routed-middle-q4_k_m.gguf"
    if not path.exists():
        _call([sys.executable, "-m", "bench.routed", "middle", "--out", str(path)], 300)
    return [
        json.loads(line) for line in _call([sys.executable, "-m", "bench.gpu.experts", str(path)], 300).splitlines()
    ]


def _bench(command: Sequence[str]) -> list[dict[str, Any]]:
    """The same work for either: one JSON object a prompt length."""
    done = [_call([*command, "-p", str(p), "-n", str(GENERATED), "-b", streams], 200) for p, streams in WORK]
    return [json.loads(text) for text in done]


def parts(folder: Path) -> dict[str, Callable[[], Any]]:
    """Every part by name, in the order in which it runs: what design depends on comes first."""
    found: dict[str, Callable[[], Any]] = {name: lambda name=name: micro(name, folder) for name in MICRO}
    for preset in MODELS:
        found[f"{preset} llama.cpp"] = lambda preset=preset: peer(model_file(preset, folder))
        found[f"{preset} ostinato"] = lambda preset=preset: ours(model_file(preset, folder))
    found["experts in slots"] = lambda: experts(folder)
    return found


def run(only: Sequence[str], folder: Path) -> dict[str, Any]:
    """Results by part; a part that fails, or for which no time is left, says so."""
    started, results = time.monotonic(), {}
    for name, part in parts(folder).items():
        if only and not any(name.startswith(wanted) for wanted in only):
            continue
        if time.monotonic() - started > SECONDS:
            results[name] = {"error": f"not run: {SECONDS} seconds were over"}
            continue
        try:
            results[name] = part()
        except (subprocess.SubprocessError, OSError, KeyError, ValueError) as error:
            results[name] = {"error": f"{type(error).__name__}: {error}"}
        print(f"{name}: {json.dumps(results[name])[:400]}", flush=True)
    return results


def _call(command: Sequence[str], seconds: float) -> str:
    """Its standard output; raises with the end of what it wrote to standard error."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)
    if done.returncode:
        raise subprocess.SubprocessError(f"{command[0]} ended with {done.returncode}: {done.stderr[-800:]}")
    return done.stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the result")
    parser.add_argument("--work", type=Path, default=ROOT / "models", help="folder for programs and model files")
    parser.add_argument("--only", default="", help="comma-separated beginnings of part names")
    options = parser.parse_args()
    if shutil.which("nvidia-smi") is None:
        print("bench.gpu.run: nvidia-smi is not there: this needs an NVIDIA card and its driver", file=sys.stderr)
        return 1
    options.work.mkdir(parents=True, exist_ok=True)
    about = card()
    wanted = [name for name in options.only.split(",") if name]
    result = {"card": about, "command": " ".join(sys.argv), "results": run(wanted, options.work)}
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    path = options.out / f"{day}-{about['name'].replace(' ', '-').lower()}.json"
    options.out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
