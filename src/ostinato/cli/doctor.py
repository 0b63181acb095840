"""`ostinato doctor`: what this machine can do, what is missing and why, and what would be chosen."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato import __version__
from ostinato.cli.options import BUILTIN, add_json
from ostinato.cli.output import bold, print_json, print_table, size, unfolded
from ostinato.cli.spinner import Spinner

if TYPE_CHECKING:
    from ostinato.backends.choose import Found

PACKAGES = ("numpy", "jinja2", "msgspec", "starlette", "uvicorn", "prometheus-client")
MODEL_HELP = "a file that weights would stream from (default: the built-in model)"
DEVICE_PACKAGES = ("cuda-core", "nvidia-cuda-nvrtc", "wgpu")
MODULES = ("_gguf", "_tokenizer", "_quantize", "_rings", "_memory", "_cpu")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", nargs="?", type=Path, default=BUILTIN, help=MODEL_HELP)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Exit status 1 when no backend would be chosen."""
    with Spinner("looking for devices"):
        found = examine(options.model)
    if options.json:
        print_json(found)
    else:
        _print(found)
    return 0 if found["chosen"] else 1


def examine(model: Path) -> dict[str, Any]:
    """Everything, as JSON values; `model` is looked at for how it can be read."""
    from ostinato.backends.choose import survey
    from ostinato.backends.host import memory_bytes, processor

    found = survey()
    return {
        "chosen": next((f.probe.name for f in found if not f.reason), None),
        "backends": [_backend(f) for f in found],
        "machine": {
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "processor": processor(),
            "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
            "memory_bytes": memory_bytes(),
        },
        "store": _store(model),
        "versions": {
            "ostinato": __version__,
            "python": platform.python_version(),
            **{package: _version(package) for package in PACKAGES + DEVICE_PACKAGES},
        },
        "native": {module: _native(module) for module in MODULES},
        "builtin_model": str(BUILTIN) if BUILTIN.exists() else None,
    }


def _backend(found: Found) -> dict[str, Any]:
    """What a backend says of itself, and why it was not chosen."""
    probe = found.probe
    return {
        "name": probe.name,
        "available": probe.available,
        "device": probe.device if probe.available else "",
        "detail": dict(probe.detail),
        "memory_bytes": probe.memory_bytes,
        "not_chosen": found.reason,
    }


def _store(model: Path) -> dict[str, Any] | None:
    """How weights could stream from the model; None where the native module is missing."""
    if _native("_memory") != "ok":
        return None
    from ostinato.backends.host import memory_bytes
    from ostinato.memory.device import pinnable_bytes
    from ostinato.memory.machine import look

    return {**asdict(look(model)), "path": str(model), "pinnable_bytes": pinnable_bytes(None, memory_bytes())}


def _native(module: str) -> str:
    """ "ok", or why it does not load."""
    try:
        __import__(f"ostinato.{module}")
    except ImportError as error:
        return str(error)
    return "ok"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"


def _print(found: dict[str, Any]) -> None:
    machine = {**found["machine"], "memory_bytes": size(found["machine"]["memory_bytes"])}
    _section("machine", {key.removesuffix("_bytes"): str(value) for key, value in machine.items()})
    print(bold("backends"))
    rows = []
    for backend in found["backends"]:
        standing = "missing" if not backend["available"] else "available" if backend["not_chosen"] else "chosen"
        lines = [backend["device"], *(f"{key}: {value}" for key, value in backend["detail"].items())]
        lines += [f"not chosen: {backend['not_chosen']}"] if backend["not_chosen"] else []
        first, *others = [line for line in lines if line]
        rows += [("  " + backend["name"], standing, first), *(("", "", line) for line in others)]
    print_table(unfolded(rows))
    if found["chosen"] is None:
        print("  no backend is available here")
    if found["store"]:
        _section("weights that stream", _reading(found["store"]))
    _section("native modules", found["native"])
    _section("versions", found["versions"])


def _reading(store: dict[str, Any]) -> dict[str, str]:
    """In words."""
    block, locked, limit = store["direct_block"], store["locked_bytes"], store["limit_bytes"]
    return {
        "direct I/O": f"in blocks of {block} bytes, from {store['path']}" if block else f"no: {store['refusal']}",
        "lockable memory": "as much as there is" if locked is None else size(locked),
        "memory limit": "none but the machine's" if limit is None else f"{size(limit)}, page cache included (cgroup)",
        "beside a card": f"{size(store['pinnable_bytes'])} could be pinned for experts that --gpu-memory does not hold",
    }


def _section(title: str, rows: dict[str, str]) -> None:
    print(bold(title))
    print_table(unfolded([(f"  {key}", value) for key, value in rows.items()]))
