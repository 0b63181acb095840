"""Small helpers for tests: where the built-in model and the test data made elsewhere lie, exact float32 arithmetic."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
BUILTIN = ROOT / "src" / "ostinato" / "models" / "ostinato-tiny.gguf"


def find_data_dir() -> Path | None:
    """`OSTINATO_TEST_DATA`, or ../shared/data from the project's root; None where neither is a folder."""
    folder = Path(os.environ.get("OSTINATO_TEST_DATA", ROOT.parent / "shared" / "data"))
    return folder if folder.is_dir() else None


def fma(a: NDArray[np.float32], b: NDArray[np.float32], c: NDArray[np.float32]) -> NDArray[np.float32]:
    """a b + c rounded once: the sum is rounded to odd in float64 (Boldo and Melquiond), which float32 then rounds."""
    product, c64 = np.multiply(a, b, dtype=np.float64), c.astype(np.float64)
    total = product + c64
    rest = total - product
    error = (product - (total - rest)) + (c64 - rest)
    even = (total.view(np.int64) & 1) == 0
    odd = np.where((error != 0) & even, np.nextafter(total, np.copysign(np.inf, error)), total)
    return odd.astype(np.float32)


def same_bits(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    """Equal bit for bit; any NaN equals any other."""
    return bool(np.all((a.view(np.uint32) == b.view(np.uint32)) | (np.isnan(a) & np.isnan(b))))
