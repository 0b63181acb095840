#!/usr/bin/env python3
"""Compiles the prompt kernels ahead, for every architecture, into src/ostinato/backends/cuda/prompt/cubins.

    python tools/cubins.py            writes one zip per architecture and manifest.json
    python tools/cubins.py --check    compiles nothing: says whether the manifest is of these sources

Needs triton (the `triton` extra), no card. The manifest has, per kernel, what a launch must know (warps, shared
memory, pointers to scratch at the end), and the hash of the sources that the cubins were made from.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from ostinato.backends.cuda.prompt.manifest import BLOCK_M, BLOCK_N, CUBINS, FORMATS, KERNELS, MANIFEST, source_hash

# Before triton is imported: no fused multiply-adds that the source does not ask for, no paths of this machine.
os.environ.update(TRITON_DEFAULT_FP_FUSION="0", TRITON_DISABLE_LINE_INFO="1", TRITON_ALWAYS_COMPILE="1")

ARCHITECTURES = (80, 90, 100, 120)  # an sm_80 cubin runs on every 8.x, and so on
WARPS, STAGES = 4, 3


def compile_kernel(kernel: str, block_format: str, architecture: int) -> Any:
    """One Triton kernel for one block format and architecture."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from ostinato.backends.cuda.prompt import linear

    function = getattr(linear, kernel)
    parameters = KERNELS[kernel]
    constants = {
        "FORMAT": block_format, "BLOCK_M": BLOCK_M, "BLOCK_N": BLOCK_N, "INTERPRETED": False,
    }  # fmt: skip
    signature = {name: kind.rstrip("!") for name, kind in parameters.items()} | dict.fromkeys(constants, "constexpr")
    aligned = {(i,): [["tt.divisibility", 16]] for i, kind in enumerate(parameters.values()) if kind.endswith("!")}
    source = ASTSource(function, signature, constants, aligned)
    options = {"num_warps": WARPS, "num_stages": STAGES}
    return triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=options)


def _parameters(ptx: str) -> int:
    """Parameters of the kernel: triton adds pointers to scratch memory, which are null here, at the end."""
    entry = re.search(r"\.entry \w+\((.*?)\)", ptx, re.DOTALL)
    assert entry is not None
    return entry.group(1).count(".param")


def build() -> None:
    """Compiles everything; the manifest is written last, when all cubins are there."""
    import triton

    CUBINS.mkdir(exist_ok=True)
    launches: dict[str, dict[str, int]] = {}
    for architecture in ARCHITECTURES:
        path = CUBINS / f"sm_{architecture}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for kernel in KERNELS:
                for block_format in FORMATS:
                    compiled = compile_kernel(kernel, block_format, architecture)
                    name = f"{kernel}_{block_format.lower()}"
                    entry = zipfile.ZipInfo(name)  # a fixed date: the same sources give the same bytes
                    entry.compress_type = zipfile.ZIP_DEFLATED
                    archive.writestr(entry, compiled.asm["cubin"])
                    launches[f"{name} sm_{architecture}"] = {
                        "shared": compiled.metadata.shared,
                        "warps": compiled.metadata.num_warps,
                        "scratch": _parameters(compiled.asm["ptx"]) - len(KERNELS[kernel]),
                    }
        print(f"{path.name}: {path.stat().st_size} bytes")
    manifest = {"sources": source_hash(), "triton": triton.__version__, "launches": launches}
    MANIFEST.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only compare the manifest with the sources")
    if parser.parse_args().check:
        current = MANIFEST.exists() and json.loads(MANIFEST.read_text())["sources"] == source_hash()
        print("current" if current else "the cubins are of other sources: run tools/cubins.py")
        return 0 if current else 1
    build()
    return 0


if __name__ == "__main__":
    sys.exit(main())
