"""How the weight store reads files, where nobody says otherwise; in C++ too (tools/emit.py). Standard library only."""

from __future__ import annotations

# Bytes that reads are aligned to, at the least: a disk may ask for more. Blocks of 512 would do on most, but cut pages
# into two segments each: 10 % slower.
BLOCK = 4096
THREADS = 8
CHUNK = 1 << 20  # bytes of one read at most
PREFETCH_IN_FLIGHT = 2 << 20  # bytes of prefetch that are being read at once
HALF_LIFE = 16  # tokens after which a use counts half, for LFRU: between steps, and between the rows of a step

CONSTANTS = {
    "kReadBlock": BLOCK, "kReadThreads": THREADS, "kReadChunk": CHUNK, "kPrefetchInFlight": PREFETCH_IN_FLIGHT,
    "kUseHalfLife": HALF_LIFE,
}  # fmt: skip
