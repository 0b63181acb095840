"""GPT-OSS as it is published: experts of MXFP4, taken over bit by bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ostinato.convert import convert
from ostinato.gguf.blocks import dequantize
from ostinato.gguf.reader import open_gguf
from ostinato.gguf.types_table import TensorType
from tests.architectures.harness import SAFETENSORS, build
from tests.architectures.zoo import ZOO

EXPERTS = "model.layers.1.mlp.experts."


def test_packed_experts_have_the_values_that_transformers_gives_them(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("transformers", reason="transformers is not installed")
    from safetensors.torch import load_file, save_file
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    build(ZOO["gpt-oss"]).save_pretrained(tmp_path / "hf")
    tensors = load_file(tmp_path / "hf" / SAFETENSORS)
    for name in [name for name in tensors if name.endswith(("gate_up_proj", "down_proj"))]:
        experts, inner, rows = tensors.pop(name).shape
        tensors[name + "_blocks"] = torch.randint(0, 256, (experts, rows, inner // 32, 16), dtype=torch.uint8)
        tensors[name + "_scales"] = torch.randint(120, 132, (experts, rows, inner // 32), dtype=torch.uint8)
    save_file(tensors, tmp_path / "hf" / SAFETENSORS)
    convert(tmp_path / "hf", tmp_path / "out.gguf", tokenizer=False)

    def theirs(part: str) -> np.ndarray:
        packed = (tensors[f"{EXPERTS}{part}_{kind}"] for kind in ("blocks", "scales"))
        return convert_moe_packed_tensors(*packed, dtype=torch.float32).mT.numpy()

    with open_gguf(tmp_path / "out.gguf") as file:
        stored = {part: file.tensors[f"blk.1.ffn_{part}_exps.weight"] for part in ("gate", "up", "down")}
        assert {tensor.type for tensor in stored.values()} == {TensorType.MXFP4}
        ours = {p: dequantize(np.asarray(t.data).reshape(-1), t.type, t.shape) for p, t in stored.items()}
    np.testing.assert_array_equal(ours["gate"], theirs("gate_up_proj")[:, 0::2])
    np.testing.assert_array_equal(ours["up"], theirs("gate_up_proj")[:, 1::2])
    np.testing.assert_array_equal(ours["down"], theirs("down_proj"))
