"""What a token must read."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.floor import bytes_per_token, kv_bytes_per_position
from ostinato.backends.contract import KVType
from tools.llama_files import plan
from tools.tiny_models import tiny_shape, write_tiny_model


@pytest.mark.parametrize("moe", [False, True])
def test_bytes_per_token_counts_used_experts_and_one_embedding_row(tmp_path: Path, moe: bool) -> None:
    write_tiny_model(tmp_path / "tiny.gguf", moe, "F32")
    expected = 0
    for tensor in plan(tiny_shape(moe), "F32"):
        elements = 1
        for size in tensor.shape:
            elements *= size
        if tensor.name == "token_embd.weight":
            elements //= 512
        if "_exps" in tensor.name:
            elements = elements * 2 // 8
        expected += 4 * elements
    assert bytes_per_token(tmp_path / "tiny.gguf") == expected


def test_bytes_of_keys_and_values(tmp_path: Path) -> None:
    """The halves of every layer's keys and values; as q8_0 34 bytes for 32 of them."""
    write_tiny_model(tmp_path / "tiny.gguf", False, "F32")
    shape = tiny_shape(False)
    elements = 2 * shape.layers * shape.kv_heads * shape.width // shape.heads
    assert kv_bytes_per_position(tmp_path / "tiny.gguf", KVType.F16) == 2 * elements
    assert kv_bytes_per_position(tmp_path / "tiny.gguf", KVType.Q8_0) == elements * 34 // 32
