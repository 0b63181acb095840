"""Files that are sound GGUF but whose tensors or metadata lie to the model: one clear error each, or an answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ostinato
from ostinato.backends.contract import CompileError
from ostinato.gguf.types_table import TensorType
from ostinato.gguf.writer import GGUFWriter
from ostinato.model.architectures import ModelError
from ostinato.program.ops_table import ShapeError
from tools.llama_files import LlamaShape, add_architecture, plan
from tools.vocabularies import add_sentencepiece

VOCABULARY = 320


class Lies(GGUFWriter):
    """A writer that leaves the keys it was told about to the liar."""

    def __init__(self, path: Path, metadata: dict[str, Any]) -> None:
        super().__init__(path)
        for key, value in metadata.items():
            super().add(key, value)
        self._said = metadata

    def add(self, key: str, *rest: Any) -> None:
        if key not in self._said:
            super().add(key, *rest)


def lie(path: Path, shapes: dict[str, tuple[int, ...]], filling: dict[str, float], **metadata: Any) -> Path:
    """One layer, four experts, F32 weights of 0.01; what is named differs. Sizes in GB are holes in the file."""
    shape = LlamaShape(1, 32, 4, 2, 64, VOCABULARY, 64, experts=4, experts_used=2)
    tensors = {t.name: shapes.get(t.name, t.shape) for t in plan(shape, "F32")}
    tensors |= {name: dims for name, dims in shapes.items() if name not in tensors}
    with Lies(path, {f"llama.{key}": value for key, value in metadata.items()}) as writer:
        add_architecture(writer, shape, "lies", "F32")
        add_sentencepiece(writer, VOCABULARY)
        for name, dims in tensors.items():
            writer.add_tensor(name, dims, TensorType.F32)
        for name, dims in tensors.items():
            if np.prod(dims) < 1 << 20:
                writer.write(name, np.full(dims, filling.get(name, 0.01), np.float32))
            else:
                writer._tensors[name].written = writer._tensors[name].size  # a hole
    return path


@pytest.mark.parametrize(
    ("shapes", "metadata", "error", "says"),
    [
        ({"blk.0.ffn_gate_inp.weight": (64, 32)}, {}, ModelError, "scores 64 experts; the metadata say 4"),
        ({"blk.0.ffn_gate_inp.weight": (2, 32)}, {}, ModelError, "scores 2 experts; the metadata say 4"),
        ({}, {"attention.head_count": 4.5}, ModelError, "must be a whole number, found 4.5"),
        ({"token_embd.weight": (2**29, 1)}, {}, ModelError, "token_embd.weight.* expected sizes from 1 to"),
        ({"token_embd.weight": (0, 32)}, {}, ModelError, "token_embd.weight.* expected sizes from 1 to"),
        (
            {"token_embd.weight": (VOCABULARY + 1, 32), "output.weight": (VOCABULARY + 1, 32)}, {},
            ModelError, "tokenizer has 320 tokens, the model's embedding 321",
        ),
        ({"blk.0.attn_q.bias": (31,)}, {}, ShapeError, "layer 0, linear .blk.0.attn_q.weight, blk.0.attn_q.bias"),
        ({"blk.0.attn_output.weight": (32, 30)}, {}, ShapeError, "layer 0, linear .blk.0.attn_output.weight"),
    ],
)  # fmt: skip
def test_a_lie_is_named(
    shapes: dict[str, tuple[int, ...]], metadata: dict[str, Any], error: type[Exception], says: str, tmp_path: Path
) -> None:
    path = lie(tmp_path / "lie.gguf", shapes, {}, **metadata)
    with pytest.raises(error, match=says):
        ostinato.load(path, threads=1)


def test_sizes_beyond_all_memory_are_refused(tmp_path: Path) -> None:
    giant = {f"blk.0.ffn_{part}_exps.weight": (4, 2**24, 32) for part in ("gate", "up")}
    path = lie(tmp_path / "giant.gguf", giant | {"blk.0.ffn_down_exps.weight": (4, 32, 2**24)}, {})
    with pytest.raises(CompileError, match="no memory for steps of"):
        ostinato.load(path, threads=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [("token_embd.weight", np.nan), ("token_embd.weight", np.inf), ("output_norm.weight", np.nan),
     ("blk.0.ffn_gate_inp.weight", np.nan)],
)  # fmt: skip
def test_weights_that_are_no_numbers_fail_the_answer_only(name: str, value: float, tmp_path: Path) -> None:
    with ostinato.load(lie(tmp_path / "nan.gguf", {}, {name: value}), threads=1) as model:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="are not finite"):
                model.generate([1, 2, 3], max_tokens=2)
