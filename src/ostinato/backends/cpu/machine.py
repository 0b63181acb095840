"""What the CPU backend finds here: the processor, cores, instruction levels and memory, for people to read."""

from __future__ import annotations

from ostinato.backends.contract import Probe
from ostinato.backends.host import memory_bytes, processor


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
            "memory": f"{memory_bytes() / 1e9:.1f} GB",
        },
    )
