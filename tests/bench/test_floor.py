"""What a token must read."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.floor import bytes_per_token
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
