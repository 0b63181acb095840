"""The floor under a decode step: the weights that one token needs must be read once, and memory is only so fast."""

from __future__ import annotations

from pathlib import Path

from ostinato import _cpu
from ostinato.backends.contract import KVType
from ostinato.gguf.reader import GGUFFile, Tensor, open_gguf
from ostinato.model.architectures import read_spec
from ostinato.program.compile import compile_model
from ostinato.program.cost import cost_of
from ostinato.program.ops_table import Load

_PRODUCTS = ("linear", "per_head", "experts", "attend")


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


def kv_bytes_per_position(path: Path, kv_type: KVType) -> float:
    """Bytes of keys and values that a generated token reads for every position before it."""
    with open_gguf(path) as file:
        programs = compile_model(read_spec(file), file.tensors)
        return sum(group.elements(1) * kv_type.element_bytes for group in programs.caches)


def prefill_operations(path: Path, rows: int) -> float:
    """Operations of one prompt of `rows` tokens in linears, experts and attention; a multiply-add is two."""
    with open_gguf(path) as file:
        program = compile_model(read_spec(file), file.tensors).prefill
        load = Load(rows, 1, (rows + 1) // 2)
        costs = (cost_of(i, program, file.tensors, load).flops for i in program.instructions if i.op in _PRODUCTS)
        return sum(costs)
