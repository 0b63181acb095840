"""Tiny random files: the same bytes for the same seed, and what another reader finds in them."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from tools.llama_files import FILE_TYPES, plan
from tools.tiny_models import random_weights, weights_digest, write_tiny_model


@pytest.mark.parametrize("moe", [False, True])
@pytest.mark.parametrize("type", FILE_TYPES)
def test_the_gguf_package_reads_what_was_planned(tmp_path: Path, type: str, moe: bool) -> None:
    path = tmp_path / "tiny.gguf"
    shape = write_tiny_model(path, moe, type, seed=3)
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    planned = plan(shape, type)
    assert list(tensors) == [tensor.name for tensor in planned]
    for tensor in planned:
        found = tensors[tensor.name]
        assert found.tensor_type.name == tensor.type
        assert tuple(reversed(found.shape.tolist())) == tensor.shape


def test_quantised_weights_are_near_the_float_ones(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    shape = write_tiny_model(path, type="Q4_K_M", seed=1)
    exact = {tensor.name: random_weights(tensor, seed=1) for tensor in plan(shape, "F32")}
    for tensor in gguf.GGUFReader(path).tensors:
        stored = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(exact[tensor.name].shape)
        error = np.mean((stored - exact[tensor.name]) ** 2) / np.mean(exact[tensor.name] ** 2)
        assert error < 0.01, tensor.name


def test_a_seed_gives_the_same_file_and_another_seed_another(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_tiny_model(tmp_path / name, type="Q8_0", seed=seed)
    contents = [(tmp_path / name).read_bytes() for name in "abc"]
    assert contents[0] == contents[1] != contents[2]


@pytest.mark.parametrize(("type", "digest"), [("F32", "87dc357ca983e3e3"), ("Q4_K_M", "ac7ef13fdfa2bd15")])
def test_weights_are_the_same_on_every_machine(tmp_path: Path, type: str, digest: str) -> None:
    write_tiny_model(tmp_path / "tiny.gguf", type=type)
    assert weights_digest(tmp_path / "tiny.gguf").startswith(digest)
