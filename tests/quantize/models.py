"""GGUF files whose tensors have the names and the row lengths of models, and next to no rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ostinato.gguf.types_table import TensorType, ValueType
from ostinato.gguf.writer import GGUFWriter
from tools.llama_files import LlamaShape, add_architecture, plan

ROWS = 2
ODD_TENSORS: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("blk.0.attn_qkv.weight", (4, 256)),
    ("blk.0.attn_kv_b.weight", (4, 256)),
    ("blk.0.attn_v_norm.weight", (4, 256)),
    ("blk.0.ffn_down_shexp.weight", (4, 256)),
    ("blk.0.ffn_down.bias", (256,)),
    ("blk.0.ssm_conv1d.weight", (4, 256)),
    ("blk.0.thing.weight", (4, 33)),
    ("per_layer_token_embd.weight", (4, 256)),
    ("position_embd.weight", (4, 256)),
    ("token_types.weight", (4, 256)),
    ("row.weight", (1, 256)),
    ("column.weight", (3, 1)),
    ("foo.bar", (4, 256)),
)


@dataclass(frozen=True)
class Case:
    """A model of llama's tensors under the name of `architecture`."""

    name: str
    layers: int
    width: int
    kv_heads: int
    experts: int = 0
    tied: bool = False
    architecture: str = "llama"
    odd: bool = False  # with ODD_TENSORS

    def write(self, path: Path) -> None:
        """All F32, all zero."""
        shape = LlamaShape(
            layers=self.layers, width=self.width, heads=8, kv_heads=self.kv_heads, feed_forward=2 * self.width,
            vocab=64, context=64, experts=self.experts, experts_used=min(2, self.experts), tied=self.tied,
        )  # fmt: skip
        tensors = [(t.name, t.shape if t.is_norm else (*t.shape[:-2], ROWS, t.shape[-1])) for t in plan(shape, "F32")]
        with _Renaming(path, self.architecture) as writer:
            add_architecture(writer, shape, self.name, "F32")
            writer.add("llama.attention.layer_norm_epsilon", 1e-5)
            for name, size in (*tensors, *(ODD_TENSORS if self.odd else ())):
                writer.add_tensor(name, size, TensorType.F32)
                writer.sizes[name] = size
            for name, size in writer.sizes.items():
                writer.write(name, np.zeros(size, np.float32).data)


class _Renaming(GGUFWriter):
    """What is added for llama is another architecture's."""

    def __init__(self, path: Path, architecture: str) -> None:
        super().__init__(path)
        self.architecture = architecture
        self.sizes: dict[str, tuple[int, ...]] = {}

    def add(self, key: str, value: Any, type: ValueType | None = None) -> None:
        own = key.removeprefix("llama.")
        value = self.architecture if key == "general.architecture" else value
        super().add(key if own == key else f"{self.architecture}.{own}", value, type)


CASES = (
    Case("one layer, odd tensors", 1, 256, 2, odd=True),
    Case("two layers, tied", 2, 256, 8, tied=True),
    Case("grouped by four", 17, 256, 2),
    Case("rows of 288", 3, 288, 2),
    Case("rows of 288, tied", 3, 288, 2, tied=True),
    Case("rows of 80", 3, 80, 2),
    Case("four experts", 10, 256, 2, experts=4),
    Case("eight experts, rows of 288, tied", 10, 288, 4, experts=8, tied=True),
    Case("eight experts, odd tensors", 9, 256, 1, experts=8, odd=True),
    Case("seventy billion", 80, 256, 1),
    Case("sixty-five billion", 80, 256, 8),
    Case("qwen2, seventy billion", 80, 256, 1, architecture="qwen2"),
    Case("falcon", 18, 256, 8, architecture="falcon"),
)
