"""The one mapping that server and engine share: header, rings, sequence records, KV, counters.

    header | message | reasons | counters | command ring | token ring | sequence table | KV of each cache group

The server creates it and keeps it across engines; an engine inherits the descriptor. Everything follows from the
sizes in the header, which whoever attaches checks.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ostinato._rings import Ring
from ostinato.backends.contract import Plan
from ostinato.engine.records_table import COMMAND, COUNTERS, MAX_CACHES, SHARED, TOKEN, EngineState
from ostinato.engine.sequences import SequenceTable
from ostinato.program.ir import CacheGroup

MAGIC = 0x0571_1A70
VERSION = 1  # of the layout; both processes run the same package
PAGE = 4096
LINE = 64
MESSAGE_BYTES = 1024
REASON_BYTES = 512  # of each record: why its request failed
DEFAULT_CAPACITY = 256


class SharedError(RuntimeError):
    """The mapping is not what this program makes; the text names what differs."""


@dataclass(frozen=True)
class Sizes:
    """What the whole layout follows from. `kv_bytes` has one entry per cache group; 0 where its KV lies elsewhere."""

    capacity: int  # sequence records: running and waiting
    context: int
    blocks_per_sequence: int
    kv_bytes: tuple[int, ...]

    @classmethod
    def of(
        cls, plan: Plan, caches: Sequence[CacheGroup], capacity: int = DEFAULT_CAPACITY, hosted: bool = True
    ) -> Sizes:
        """Sizes for a plan's block tables and, where it is `hosted` here, its KV."""
        kv_bytes = tuple(plan.cache_bytes(group) if hosted else 0 for group in caches)
        return cls(capacity, plan.context, plan.blocks_per_sequence, kv_bytes)

    @property
    def command_slots(self) -> int:
        """A record has at most a SUBMIT and a CANCEL pending: this ring is never full."""
        return _power_of_two(2 * self.capacity)

    @property
    def token_slots(self) -> int:
        """A few steps' worth of tokens."""
        return _power_of_two(4 * self.capacity)

    def sections(self) -> dict[str, tuple[int, int]]:
        """(offset, bytes) of each section; `kv0`, `kv1`, ... start on pages."""
        table = SequenceTable.bytes(self.capacity, self.context, len(self.kv_bytes), self.blocks_per_sequence)
        sizes = {
            "header": 4 * len(SHARED.words),
            "message": MESSAGE_BYTES,
            "reasons": self.capacity * REASON_BYTES,
            "counters": 8 * len(COUNTERS),
            "commands": Ring.bytes(self.command_slots, len(COMMAND.words)),
            "tokens": Ring.bytes(self.token_slots, len(TOKEN.words)),
            "sequences": table,
        } | {f"kv{index}": size for index, size in enumerate(self.kv_bytes)}
        out: dict[str, tuple[int, int]] = {}
        end = 0
        for name, size in sizes.items():
            start = _align(end, PAGE if name.startswith("kv") else LINE)
            out[name] = (start, size)
            end = start + size
        return out

    @property
    def total(self) -> int:
        """Bytes of the mapping."""
        return _align(max(start + size for start, size in self.sections().values()), PAGE)


class Shared:
    """The mapping, seen from either process."""

    def __init__(self, fd: int, sizes: Sizes) -> None:
        self.fd, self.sizes = fd, sizes
        self._memory = np.frombuffer(mmap.mmap(fd, sizes.total), dtype=np.uint8)
        self._sections = sizes.sections()
        self._header = self._section("header").view(np.int32)
        self._reasons = self._section("reasons").reshape(sizes.capacity, REASON_BYTES)
        self._counters = self._section("counters").view(np.int64)
        shape = (sizes.capacity, sizes.context, len(sizes.kv_bytes), sizes.blocks_per_sequence)
        self.table = SequenceTable(self._section("sequences"), *shape, create=False)  # new memory is zero: all free
        self._open_rings()

    @classmethod
    def create(cls, sizes: Sizes) -> Shared:
        """New zeroed memory without a name: it goes with the last process that holds it.

        Pages are taken as they are touched. Raises OSError when there is no room at all.
        """
        if len(sizes.kv_bytes) > MAX_CACHES:
            raise SharedError(f"{len(sizes.kv_bytes)} cache groups; at most {MAX_CACHES}")
        fd = _nameless_file()
        os.ftruncate(fd, sizes.total)
        shared = cls(fd, sizes)
        _write_header(shared._header, sizes)
        return shared

    @classmethod
    def attach(cls, fd: int) -> Shared:
        """The mapping that another process created. Raises SharedError when it is something else."""
        size = os.fstat(fd).st_size
        header = 4 * len(SHARED.words)
        if size < header:
            raise SharedError(f"shared memory has {size} bytes; the header alone has {header}")
        sizes = _read_header(np.frombuffer(os.pread(fd, header, 0), dtype=np.int32))
        if size != sizes.total:
            raise SharedError(f"shared memory has {size} bytes; its header speaks of {sizes.total}")
        return cls(fd, sizes)

    def check(self, sizes: Sizes) -> None:
        """Raises SharedError unless the mapping was made for these sizes."""
        if sizes != self.sizes:
            raise SharedError(f"shared memory was made for {self.sizes}; the engine has {sizes}")

    def kv(self, cache: int) -> memoryview:
        """Writable bytes of a cache group's KV: an entry of `Plan.memory`."""
        return self._section(f"kv{cache}").data

    def reset_rings(self) -> None:
        """Empties both rings. Only while there is no engine."""
        for name in ("commands", "tokens"):
            self._section(name)[:] = 0
        self._open_rings()

    @property
    def state(self) -> EngineState:
        """What the engine says of itself."""
        return EngineState(self._get("state"))

    def set_state(self, state: EngineState, message: str = "") -> None:
        """`message` is for people: why the engine refused."""
        text = message.encode()[:MESSAGE_BYTES]
        self._section("message")[: len(text)] = np.frombuffer(text, dtype=np.uint8)
        self._set("message_bytes", len(text))
        self._set("state", state)

    @property
    def message(self) -> str:
        """What came with the state."""
        return bytes(self._section("message")[: self._get("message_bytes")]).decode(errors="replace")

    def set_reason(self, record: int, reason: str) -> None:
        """Why a request failed; written before its last event is published."""
        text = reason.encode()[:REASON_BYTES]
        self._reasons[record] = np.frombuffer(text.ljust(REASON_BYTES, b"\0"), dtype=np.uint8)

    def reason(self, record: int) -> str:
        """What `set_reason` said last of this record."""
        return bytes(self._reasons[record]).rstrip(b"\0").decode(errors="replace")

    @property
    def blocked(self) -> bool:
        """The engine sleeps until the token ring has room, and wants its bell rung."""
        return bool(self._get("blocked"))

    @blocked.setter
    def blocked(self, value: bool) -> None:
        self._set("blocked", int(value))

    @property
    def counters(self) -> dict[str, int]:
        """Figures of the engine after its last step, by the names in COUNTERS."""
        return dict(zip(COUNTERS, self._counters.tolist(), strict=True))

    @counters.setter
    def counters(self, values: Mapping[str, int]) -> None:
        self._counters[:] = [values.get(name, 0) for name in COUNTERS]

    def close(self) -> None:
        """Closes the descriptor; the memory goes when nobody looks at it any more."""
        os.close(self.fd)

    def _open_rings(self) -> None:
        self.commands = Ring(self._section("commands"), self.sizes.command_slots, len(COMMAND.words))
        self.tokens = Ring(self._section("tokens"), self.sizes.token_slots, len(TOKEN.words))

    def _section(self, name: str) -> NDArray[np.uint8]:
        start, size = self._sections[name]
        return self._memory[start : start + size]

    def _get(self, name: str) -> int:
        return int(self._header[SHARED.index(name)])

    def _set(self, name: str, value: int) -> None:
        self._header[SHARED.index(name)] = value


def _write_header(words: NDArray[np.int32], sizes: Sizes) -> None:
    values = {
        "magic": MAGIC, "version": VERSION, "capacity": sizes.capacity, "context": sizes.context,
        "blocks_per_sequence": sizes.blocks_per_sequence, "caches": len(sizes.kv_bytes),
    }  # fmt: skip
    for name, value in values.items():
        words[SHARED.index(name)] = value
    start = SHARED.index("kv_low0")
    words[start : start + 2 * len(sizes.kv_bytes)] = np.array(sizes.kv_bytes, dtype="<i8").view(np.int32)


def _read_header(words: NDArray[np.int32]) -> Sizes:
    magic, version, capacity, context, blocks, caches = words[:6].tolist()
    if (magic, version) != (MAGIC, VERSION):
        raise SharedError(f"shared memory: magic {magic:#x}, version {version}; expected {MAGIC:#x}, {VERSION}")
    if not 0 <= caches <= MAX_CACHES:
        raise SharedError(f"shared memory: {caches} cache groups; at most {MAX_CACHES}")
    start = SHARED.index("kv_low0")
    return Sizes(capacity, context, blocks, tuple(words[start : start + 2 * caches].view("<i8").tolist()))


def _nameless_file() -> int:
    """A descriptor of memory that no path leads to. A memfd does not count against the size of /dev/shm."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("ostinato", os.MFD_CLOEXEC)
    fd, path = tempfile.mkstemp(prefix="ostinato-")
    Path(path).unlink()
    return fd


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()


def _align(offset: int, to: int) -> int:
    return -(-offset // to) * to
