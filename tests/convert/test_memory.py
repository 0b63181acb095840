"""Memory does not grow with the model: a checkpoint is converted in a process that may hold a fraction of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.convert.checkpoints import checkpoint, llama_tensors, safetensors

SCRIPT = """
import resource, sys
import numpy
from ostinato.convert import convert
limit = int(sys.argv[4])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
convert(sys.argv[1], sys.argv[2], sys.argv[3], tokenizer=False)
"""
ROWS = 1 << 18  # of an embedding of 512 columns: 268 MB as BF16, 537 MB as F32
LIMIT = 300 << 20  # bytes of private memory, of which Python, NumPy and its threads take their part


@pytest.mark.slow
@pytest.mark.parametrize("type", ["auto", "F32", "Q8_0"])
def test_a_large_tensor_streams_through(tmp_path: Path, type: str) -> None:
    folder = checkpoint(
        tmp_path / "hf", vocab_size=ROWS, hidden_size=512, num_hidden_layers=1, tie_word_embeddings=True
    )
    tensors = {name: array for name, array in llama_tensors().items() if "layers.0" in name}
    sizes = {"norm": (512,), "q_proj": (512, 512), "k_proj": (256, 512), "v_proj": (256, 512), "o_proj": (512, 512),
             "gate_proj": (96, 512), "up_proj": (96, 512), "down_proj": (512, 96)}  # fmt: skip
    shapes = {name: next(size for part, size in sizes.items() if part in name) for name in tensors}
    shapes |= {"model.norm.weight": (512,), "model.embed_tokens.weight": (ROWS, 512)}
    safetensors(folder / "model.safetensors", {n: np.full(s, 0x3F80, np.uint16) for n, s in shapes.items()}, "BF16")
    words = [sys.executable, "-c", SCRIPT, str(folder), str(tmp_path / "out.gguf"), type, str(LIMIT)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.gguf").stat().st_size > ROWS * 512
