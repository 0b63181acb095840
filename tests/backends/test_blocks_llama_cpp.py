"""Whole models whose matrices are random blocks of one format: the CPU's logits against llama.cpp's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import ostinato
from ostinato.gguf.blocks import FORMATS
from ostinato.gguf.types_table import TensorType
from ostinato.gguf.writer import GGUFWriter
from tests.backends.cases import nmse
from tests.gguf.blocks import FLOATS, get_scales, oracle, put_scales, random_blocks, scales
from tools.llama_files import add_architecture, plan
from tools.tiny_models import random_weights, tiny_shape
from tools.vocabularies import add_sentencepiece

llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed (the `dev` extra)")

Bytes = NDArray[np.uint8]

TOKENS = [1, 300, 17, 411, 256, 99, 5, 300, 42, 7, 123, 480]
TYPES = sorted(FORMATS - {*FLOATS, TensorType.Q8_1, TensorType.Q8_K})  # llama.cpp multiplies with all of these


def scaled_blocks(type: TensorType, count: int, deviation: float, rng: np.random.Generator) -> Bytes:
    """Random blocks whose values have the mean 0, nearly, and about this deviation."""
    blocks = random_blocks(type, count, rng)
    fields = max(len(scales(type).at), 1)
    put_scales(blocks, type, np.full((1, fields), scales(type).one))
    if fields == 2:  # a scale and a minimum, whose parts must cancel in the mean
        put_scales(blocks, type, np.array([[scales(type).one, 0]]))
        first = oracle(blocks, type)
        put_scales(blocks, type, np.array([[0, scales(type).one]]))
        ratio = -first.mean() / oracle(blocks, type).mean()
        spread = (first + ratio * oracle(blocks, type)).std()
        pair = np.array([[1, ratio]]) * (deviation / spread)
        put_scales(blocks, type, pair.astype(np.float16).view(np.uint16).astype(np.int64))
        return blocks
    put_scales(blocks, type, np.full((1, fields), pattern(type, deviation / float(oracle(blocks, type).std()))))
    return blocks


def pattern(type: TensorType, scale: float) -> int:
    """The bits of the scale nearest to a number."""
    bits = np.arange(1 << 8 * np.dtype(scales(type).dtype).itemsize)
    blocks = np.zeros((len(bits), type.block_bytes), np.uint8)
    put_scales(blocks, type, bits[:, None])
    with np.errstate(invalid="ignore"):
        return int(np.nanargmin(np.abs(get_scales(blocks, type)[:, 0] - scale)))


def write(path: Path, type: TensorType) -> None:
    shape = tiny_shape(moe=False)
    tensors = plan(shape, "F32")
    rng = np.random.default_rng(int(type))
    with GGUFWriter(path) as writer:
        add_architecture(writer, shape, f"blocks of {type.name}", "F32")
        add_sentencepiece(writer, shape.vocab)
        for tensor in tensors:
            writer.add_tensor(tensor.name, tensor.shape, TensorType.F32 if tensor.is_norm else type)
        for tensor in tensors:
            weights = random_weights(tensor, 0)
            if tensor.is_norm:
                writer.write(tensor.name, weights.data)
            else:
                count = weights.size // type.block_elements
                writer.write(tensor.name, scaled_blocks(type, count, float(weights.std()), rng).data)


@pytest.mark.parametrize("type", TYPES, ids=lambda type: type.name)
def test_logits_are_llama_cpps(type: TensorType, tmp_path: Path) -> None:
    """Both round activations to eight bits, not alike: an error of 1e-4 a product, a few products deep."""
    path = tmp_path / "model.gguf"
    write(path, type)
    with ostinato.load(path, "cpu", context=64) as model:
        found = model.logits(TOKENS)
    peer = llama_cpp.Llama(str(path), n_ctx=64, logits_all=True, verbose=False)
    peer.eval(TOKENS)
    wanted = np.array(peer.scores[: len(TOKENS)])
    assert np.isfinite(wanted).all()
    assert wanted.std() > 0.1
    assert nmse(found, wanted) < 1e-3
