"""Round trip between two threads over the rings: compiles bench/rings.cpp and prints its JSON.

python -m bench.rings
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """The exit code of the compiler or of the benchmark."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "rings"
        source = ROOT / "bench" / "rings.cpp"
        command = ["g++", "-std=c++20", "-O2", "-pthread", "-I", str(ROOT / "native"), "-o", str(program), str(source)]
        return subprocess.run(command).returncode or subprocess.run([program]).returncode


if __name__ == "__main__":
    sys.exit(main())
