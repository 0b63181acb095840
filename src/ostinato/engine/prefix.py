"""Names of KV blocks: a keyed hash of all that their content depends on.

KV at a position depends on the tokens up to it and on the kinds of their rows. A name covers a full block's
tokens, how many of its rows are prompt rows, and the name of the block before it.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

NAME_BYTES = 16


class PrefixNames:
    """Makes names under a random key, so that nobody can craft two prompts of one name."""

    def __init__(self, block_size: int) -> None:
        self._block_size = block_size
        self._key = os.urandom(32)

    def extend(self, names: list[bytes], tokens: np.ndarray, prompt_length: int, count: int) -> None:
        """Appends to the chain `names` until it names the first `count` blocks of `tokens` (int32), of which
        the first `prompt_length` are prompt rows."""
        size = self._block_size
        for start in range(len(names) * size, count * size, size):
            parent = names[-1] if names else b""
            prompt_rows = min(max(prompt_length - start, 0), size)
            text = parent + prompt_rows.to_bytes(4, "little") + tokens[start : start + size].tobytes()
            names.append(blake2b(text, key=self._key, digest_size=NAME_BYTES).digest())
