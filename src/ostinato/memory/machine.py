"""What this machine lets a weight store do: direct I/O on a file's disk, memory that may be locked, how much in all."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from pathlib import Path

from ostinato import _memory
from ostinato.memory.options import ReadMode

CGROUPS = Path("/sys/fs/cgroup")
UNLIMITED = 1 << 60  # bytes: what version 1 of cgroups writes where there is no limit is larger


@dataclass(frozen=True)
class Reading:
    """`direct_block`: bytes that direct I/O is aligned to, None where there is none, and `refusal` says why.
    `locked_bytes`, `limit_bytes`: None where there is no limit."""

    path: Path
    direct_block: int | None
    refusal: str
    locked_bytes: int | None
    limit_bytes: int | None


def look(path: Path) -> Reading:
    """For a model at that path. Raises _memory.ReadError for a file that cannot be read at all."""
    _memory.FileSource(str(path), ReadMode.CACHED.value)
    block, refusal = None, ""
    try:
        block = _memory.FileSource(str(path), ReadMode.DIRECT.value).block
    except _memory.ReadError as error:
        refusal = str(error)
    locked, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    return Reading(path, block, refusal, None if locked == resource.RLIM_INFINITY else locked, cgroup_limit())


def cgroup_limit(membership: Path = Path("/proc/self/cgroup"), root: Path = CGROUPS) -> int | None:
    """Bytes of memory, page cache included, that this process and its group may have: the least limit on the way from
    its group to the root. None where there is none."""
    try:
        lines = [line.split(":", 2) for line in membership.read_text().splitlines()]
    except OSError:
        return None
    limits = []
    for _, controllers, group in (line for line in lines if len(line) == 3):
        if controllers == "":
            limits += _limits(root, group, "memory.max")
        elif "memory" in controllers.split(","):
            limits += _limits(root / "memory", group, "memory.limit_in_bytes")
    return min((limit for limit in limits if limit < UNLIMITED), default=None)


def _limits(root: Path, group: str, name: str) -> list[int]:
    """Those of a group and all that it is in; a container may see the root only, as its own."""
    inside = root / group.lstrip("/")
    folders = [folder for folder in (inside, *inside.parents) if folder == root or root in folder.parents]
    texts = [(folder / name).read_text().strip() for folder in folders if (folder / name).is_file()]
    return [int(text) for text in texts if text.isdecimal()]


def process_bytes(pid: int) -> int:
    """Anonymous memory of a process, with that which it shares; files that it maps can be let go. 0 where unknown."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return sum(1024 * int(fields.get(name, "0 kB").split()[0]) for name in ("RssAnon", "RssShmem"))
