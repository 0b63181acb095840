"""GGUF files with their matrices in another type, made in the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ostinato.gguf.blocks import dequantize, quantize
from ostinato.gguf.reader import Tensor, open_gguf
from ostinato.gguf.types_table import TensorType
from ostinato.gguf.writer import GGUFWriter

KEPT = ("_norm.weight", "ffn_gate_inp.weight", "ffn_gate_inp_shexp.weight", "conv1d.weight", "shortconv.conv.weight")


def requantize(source: Path, target: Path, type: TensorType) -> None:
    """A copy of a file of F32, its matrices in `type` but for those that stay F32 in every file."""
    with open_gguf(source) as file, GGUFWriter(target) as writer:
        for key, value in file.metadata.items():
            writer.add(key, value)
        types = {name: chosen(tensor, type) for name, tensor in file.tensors.items()}
        for name, tensor in file.tensors.items():
            writer.add_tensor(name, tensor.shape, types[name])
        for name, tensor in file.tensors.items():
            same = types[name] is tensor.type
            stored = np.asarray(tensor.data) if same else quantize(dequantized(tensor), types[name])
            writer.write(name, stored.data)


def chosen(tensor: Tensor, type: TensorType) -> TensorType:
    """The type of one tensor in a file of `type`."""
    matrix = len(tensor.shape) > 1 and tensor.name.endswith(".weight") and not tensor.name.endswith(KEPT)
    fits = tensor.type is TensorType.F32 and tensor.shape[-1] % type.block_elements == 0
    return type if matrix and fits else tensor.type


def dequantized(tensor: Tensor) -> np.ndarray:
    """Float32 values of a tensor."""
    return dequantize(np.asarray(tensor.data).reshape(-1), tensor.type, tensor.shape)
