"""Scanner of GGUF string arrays (native/gguf)."""

def skip_strings(buffer: memoryview | bytes, offset: int, count: int) -> tuple[int, int]:
    """Skip `count` length-prefixed strings from `offset` on: (whole strings skipped, offset behind them)."""
