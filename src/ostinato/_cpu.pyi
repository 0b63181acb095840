"""The native executor of the CPU backend (native/cpu/binding.cpp)."""

from collections.abc import Sequence

import numpy as np

def level() -> str: ...
def levels() -> list[str]: ...
def ops() -> list[str]: ...
def usable_cores() -> int: ...

class Executor:
    def submit(self, words: np.ndarray) -> None: ...
    def collect(
        self,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, list[np.ndarray], bool]: ...
    def close(self) -> None: ...

class Builder:
    def __init__(
        self,
        max_rows: int,
        max_logit_rows: int,
        max_sequences: int,
        context: int,
        blocks: int,
        block_size: int,
        vocab: int,
        tokens: int,
        max_steps: int,
    ) -> None: ...
    def add_cache(
        self, layers: int, kv_heads: int, key_dim: int, value_dim: int, half: bool, memory: np.ndarray
    ) -> None: ...
    def add_state(self, layers: int, elements: int) -> None: ...
    def add_program(
        self, instructions: np.ndarray, values: np.ndarray, arena_bytes: int, outputs: Sequence[int]
    ) -> None: ...
    def add_weight(
        self,
        type: int,
        rows: int,
        k: int,
        experts: int,
        elements: bool,
        turned: bool,
        pieces: Sequence[tuple[np.ndarray, int, int, int]],
    ) -> None: ...
    def build(self, threads: int) -> Executor: ...
