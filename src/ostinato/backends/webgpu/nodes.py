"""Whether the system has a graphics device at all: told from device nodes, in microseconds.

Loading wgpu and asking every installed driver for adapters takes 0.3 to 0.9 s, which a processor without a card would
wait for at every start. On Linux a graphics driver serves programs through a device node; without one nothing but a
software adapter can be there, which is never chosen by itself. Other systems are always asked.
"""

from __future__ import annotations

import sys
from pathlib import Path

# Of the kernel's own drivers; NVIDIA's (cards, Tegra); Windows' subsystem; Adreno, Mali and PowerVR on telephones.
NODES = ("dri/renderD*", "nvidia[0-9]*", "nvhost-*gpu*", "nvgpu/*", "dxg", "kgsl*", "mali*", "pvr*")


def why_none(devices: Path = Path("/dev"), platform: str = sys.platform) -> str:
    """Why no adapter but a software one can be there; "" where one may be."""
    if platform != "linux" or any(next(devices.glob(node), None) for node in NODES):
        return ""
    return f"no graphics device ({devices}/dri/renderD* and the like); a software adapter is only used when it is named"
