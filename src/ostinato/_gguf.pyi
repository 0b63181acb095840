"""Scanner of GGUF string arrays; population of mapped files (native/gguf)."""

from collections.abc import Sequence

def skip_strings(buffer: memoryview | bytes, offset: int, count: int) -> tuple[int, int]:
    """Skip `count` length-prefixed strings from `offset` on: (whole strings skipped, offset behind them)."""

class Populating:
    """Reads what is not in memory of `runs` (start, stop) of a mapped file, which begin on pages, on a thread; ends
    with the object. `sparse`: page faults of the mapping read nothing ahead."""

    def __init__(self, buffer: memoryview | bytes, runs: Sequence[tuple[int, int]], sparse: bool = False) -> None: ...
    def wait(self) -> bool:
        """Wait for its end; whether it came through."""
