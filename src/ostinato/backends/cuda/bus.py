"""How fast the bus between pinned memory and the card is: copies of several sizes, timed when a model is loaded."""

from __future__ import annotations

import time

from ostinato.backends.cuda.memory import Memory
from ostinato.memory.cost import Line, Sample, fit

SIZES = (64 << 10, 256 << 10, 1 << 20, 4 << 20)  # bytes: of small experts and of large ones
TIMES = 5  # each


def measure_bus(memory: Memory) -> Line:
    """Latency and rate of a copy to the card, as who waits for it sees them. Raises OutOfDeviceMemoryError."""
    source = memory.pin("bus", max(SIZES)).ctypes.data
    to = memory.allocate("bus", max(SIZES))
    try:
        _seconds(memory, to, source, max(SIZES))  # the first one prepares what later ones find
        return fit([Sample(size, _seconds(memory, to, source, size)) for _ in range(TIMES) for size in SIZES])
    finally:
        memory.driver.synchronize()
        memory.release("bus")
        memory.unpin("bus")


def _seconds(memory: Memory, to: int, source: int, size: int) -> float:
    started = time.perf_counter()
    memory.driver.transfer([(to, source, size)]).wait()
    return time.perf_counter() - started
