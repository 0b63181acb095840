"""Scanner of GGUF string arrays; population of mapped files (native/gguf)."""

def skip_strings(buffer: memoryview | bytes, offset: int, count: int) -> tuple[int, int]:
    """Skip `count` length-prefixed strings from `offset` on: (whole strings skipped, offset behind them)."""

class Populating:
    """Reads what is not in memory of a mapped file, on a thread; ends with the object."""

    def __init__(self, buffer: memoryview | bytes) -> None: ...
    def wait(self) -> bool:
        """Wait for its end; whether it came through."""
