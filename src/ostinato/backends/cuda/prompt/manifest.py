"""What the prompt kernels are: their parameters, formats, and the cubins that were compiled from them.

Nothing here needs triton: a machine that runs the cubins does not have it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).parent
CUBINS = FOLDER / "cubins"
MANIFEST = CUBINS / "manifest.json"
SOURCES = ("linear.py", "unpack.py", "manifest.py")

FORMATS = ("Q8_0", "Q4_K", "Q6_K")  # F32 and F16 stay in float32 arithmetic: CUDA C++ computes their prompt rows
BLOCK_M, BLOCK_N = 64, 64  # rows and outputs of a tile, whatever the number of rows

# Parameters in order with Triton's type; `!`: a multiple of 16 (an address, a length).
KERNELS: Mapping[str, Mapping[str, str]] = {
    "linear": {
        "x": "*fp32!", "weight": "*u8!", "bias": "*fp32", "out": "*fp32",
        "rows": "i32", "n": "i32", "k": "i32!", "stride": "i32", "row_bytes": "i32!", "has_bias": "i32",
    },
    "experts_in": {
        "x": "*fp32!", "order": "*i32", "offsets": "*i32", "gate": "*i64", "up": "*i64", "out": "*fp32",
        "experts": "i32", "first_expert": "i32", "count": "i32", "n": "i32", "k": "i32!", "top_k": "i32",
        "gelu": "i32", "row_bytes": "i32!",
    },
    "experts_out": {
        "x": "*fp32!", "order": "*i32", "offsets": "*i32", "down": "*i64", "out": "*fp32",
        "experts": "i32", "first_expert": "i32", "count": "i32", "n": "i32", "k": "i32!", "row_bytes": "i32!",
    },
}  # fmt: skip


def source_hash() -> str:
    """SHA-256 over the sources that the cubins depend on."""
    digest = hashlib.sha256()
    for name in SOURCES:
        digest.update((FOLDER / name).read_bytes())
    return digest.hexdigest()
