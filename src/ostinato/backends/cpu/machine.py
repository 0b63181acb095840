"""What this machine is: the processor's name, cores, instruction levels and memory, for people to read."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from ostinato.backends.contract import Probe


def describe(name: str) -> Probe:
    """The probe of the CPU backend; not available where the native module is missing or OSTINATO_CPU is in vain."""
    try:
        from ostinato import _cpu
    except ImportError as error:
        return Probe(name, False, f"the native module ostinato._cpu cannot be loaded: {error}")
    try:
        level = _cpu.level()
    except ValueError as error:
        return Probe(name, False, str(error))
    return Probe(
        name,
        True,
        f"{processor()}, {level}",
        {
            "cores": str(_cpu.usable_cores()),
            "instructions": level,
            "instructions there": ", ".join(_cpu.levels()),
            "memory": f"{memory_bytes() / 2**30:.1f} GiB",
        },
    )


def processor() -> str:
    """The processor's model name."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def memory_bytes() -> int:
    """Physical memory of the machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
