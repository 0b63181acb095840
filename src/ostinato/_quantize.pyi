"""Quantisers of tensors (native/quantize)."""

import numpy as np

def levels() -> list[str]:
    """Instruction levels of this machine, the best first. All encode to the same bytes."""

def targets() -> list[int]:
    """Types that values can be encoded to, as numbers of TensorType."""

def encode(source: np.ndarray, source_type: int, target: int, out: np.ndarray, threads: int, level: str = "") -> int:
    """Encode the values of `source` (bytes, F32, F16 or BF16; whole blocks of `target`) to the bytes `out`.

    -1, or the first value of the first block that cannot be encoded (not finite, or too large); then `out` is
    incomplete. The bytes do not depend on `threads` or `level`. ValueError for what does not fit together.
    """
