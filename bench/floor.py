"""The floor under a decode step: the weights that one token needs must be read once, and memory is only so fast."""

from __future__ import annotations

from pathlib import Path

from ostinato import _cpu
from ostinato.gguf.reader import GGUFFile, Tensor, open_gguf


def read_bandwidth(threads: int, passes: int = 3) -> float:
    """Bytes per second that `threads` threads read together, the best of several ways and `passes` of each
    (native/cpu/roofline.h). A machine shared with others drifts: look often, and near to what is measured."""
    return _cpu.read_bandwidth(threads, passes)


def bytes_per_token(path: Path) -> int:
    """Bytes of weights that one token of one sequence reads: all matrices, but of the experts only those in use,
    and one row of the embedding (all of it where it serves as output matrix too)."""
    with open_gguf(path) as file:
        return sum(_read_bytes(file, tensor) for tensor in file.tensors.values())


def _read_bytes(file: GGUFFile, tensor: Tensor) -> int:
    if tensor.name == "token_embd.weight" and "output.weight" in file.tensors:
        return tensor.nbytes // tensor.shape[0]
    if "_exps." in tensor.name:
        architecture = file.require("general.architecture", str)
        return tensor.nbytes * file.require(f"{architecture}.expert_used_count", int) // tensor.shape[0]
    return tensor.nbytes
