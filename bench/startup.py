"""How long commands take that a person waits for: medians over several starts, in seconds.

    python -m bench.startup [--rounds 15]

`--help` and `ps` should stay under 0.1 s. `run` loads the built-in model and makes one token.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

COMMANDS = {
    "help": ["--help"],
    "ps": ["ps"],
    "tokenize": ["tokenize", "src/ostinato/models/ostinato-tiny.gguf", "hello"],
    "run": ["run", "hello", "--max-tokens", "1"],
}


def seconds(words: Sequence[str]) -> float:
    """One start of `ostinato WORDS`."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "ostinato.cli.main", *words]
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    found = {name: statistics.median(seconds(words) for _ in range(rounds)) for name, words in COMMANDS.items()}
    print(json.dumps({name: round(value, 4) for name, value in found.items()}, indent=2))


if __name__ == "__main__":
    main()
