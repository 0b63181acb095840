"""How long opening a GGUF file takes whose vocabulary is large: 128k tokens and 280k merges, made up here.

    python -m bench.gguf_open [--tokens N] [--merges N] [--repeat N]

Prints one JSON object. `first_open_seconds` is in a fresh process, after the import; the others repeat it.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from ostinato.gguf import GGUFWriter, ValueType, open_gguf

FRESH = """
import sys, time
start = time.perf_counter()
from ostinato.gguf import open_gguf
imported = time.perf_counter()
open_gguf(sys.argv[1])
print(imported - start, time.perf_counter() - imported)
"""


def write_vocabulary(path: Path, tokens: int, merges: int) -> None:
    """Random words of the lengths that byte-level vocabularies have (mean about 6.5 bytes)."""
    rng = random.Random(1)

    def words(count: int) -> list[str]:
        return ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 11))) for _ in range(count)]

    with GGUFWriter(path) as writer:
        writer.add("general.architecture", "llama")
        writer.add("tokenizer.ggml.model", "gpt2")
        writer.add("tokenizer.ggml.tokens", words(tokens))
        writer.add("tokenizer.ggml.token_type", [1] * tokens, ValueType.INT32)
        writer.add("tokenizer.ggml.merges", [f"{a} {b}" for a, b in zip(words(merges), words(merges), strict=True)])


def timed_open(path: Path) -> float:
    start = time.perf_counter()
    open_gguf(path).close()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tokens", type=int, default=128_000)
    parser.add_argument("--merges", type=int, default=280_000)
    parser.add_argument("--repeat", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocabulary.gguf"
        write_vocabulary(path, options.tokens, options.merges)
        command = [sys.executable, "-c", FRESH, str(path)]
        fresh = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        times = sorted(timed_open(path) for _ in range(options.repeat))
        result = {
            "tokens": options.tokens,
            "merges": options.merges,
            "file_bytes": path.stat().st_size,
            "import_seconds": float(fresh[0]),
            "first_open_seconds": float(fresh[1]),
            "best_open_seconds": times[0],
            "median_open_seconds": median(times),
        }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
