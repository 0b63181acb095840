"""Small checkpoints and tokenizers, written as `transformers` and `tokenizers` write them."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ostinato.convert.config import Config
from ostinato.convert.tokenizer import tokenizer_metadata
from ostinato.gguf.tokenizer import Tokenizer
from ostinato.gguf.writer import GGUFWriter

VOCAB, WIDTH, INNER, LAYERS, HEADS, KV_HEADS = 96, 64, 96, 2, 4, 2

CORPUS = (
    "The quick brown fox jumps over the lazy dog. It's 1234567 o'clock, isn't it?\n\n  Indented\ttext; and MORE: "
    "CamelCaseWords, naïve café, ελληνικά, Привет мир, 你好世界, こんにちは, 한국어 텍스트, "
    "🙂🚀 emoji!! 3.14 + 2,71 = x_y*z"
)
TEXTS = (
    "", " ", "Hello world", "It's 12345 o'clock", "I'LL go, WE'VE been; you'd", "CamelCaseHTTPServer",
    "  two  spaces \n\n\n\tand tabs \r\n end ", "naïve Привет 你好世界 こんにちは 한국어", "🙂🚀!!! ... ---",
    "x=3.14; y_1 += foo(bar)[2] // comment",
)  # fmt: skip


def safetensors(path: Path, tensors: Mapping[str, np.ndarray], dtype: str = "F32") -> None:
    """A safetensors file; arrays of uint16 are BF16's bits where `dtype` says so."""
    header: dict[str, Any] = {}
    position = 0
    for name, array in tensors.items():
        header[name] = {
            "dtype": dtype,
            "shape": list(array.shape),
            "data_offsets": [position, position + array.nbytes],
        }
        position += array.nbytes
    raw_file(path, header, b"".join(np.ascontiguousarray(array).tobytes() for array in tensors.values()))


def raw_file(path: Path, header: Mapping[str, Any] | bytes, data: bytes) -> None:
    """A file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def llama_tensors(seed: int = 1) -> dict[str, np.ndarray]:
    """Float32 tensors of a small llama."""
    random = np.random.default_rng(seed)
    head = WIDTH // HEADS

    def matrix(*shape: int) -> np.ndarray:
        return (random.standard_normal(shape) / shape[-1] ** 0.5).astype(np.float32)

    tensors = {"model.embed_tokens.weight": matrix(VOCAB, WIDTH), "model.norm.weight": matrix(WIDTH)}
    for i in range(LAYERS):
        stem = f"model.layers.{i}."
        tensors |= {
            stem + "input_layernorm.weight": matrix(WIDTH),
            stem + "post_attention_layernorm.weight": matrix(WIDTH),
            stem + "self_attn.q_proj.weight": matrix(HEADS * head, WIDTH),
            stem + "self_attn.k_proj.weight": matrix(KV_HEADS * head, WIDTH),
            stem + "self_attn.v_proj.weight": matrix(KV_HEADS * head, WIDTH),
            stem + "self_attn.o_proj.weight": matrix(WIDTH, HEADS * head),
            stem + "mlp.gate_proj.weight": matrix(INNER, WIDTH),
            stem + "mlp.up_proj.weight": matrix(INNER, WIDTH),
            stem + "mlp.down_proj.weight": matrix(WIDTH, INNER),
        }
    return tensors | {"lm_head.weight": matrix(VOCAB, WIDTH)}


def llama_config(**changes: Any) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"], "vocab_size": VOCAB, "hidden_size": WIDTH, "intermediate_size": INNER,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS,
        "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, **changes,
    }  # fmt: skip


def checkpoint(folder: Path, tensors: Mapping[str, np.ndarray] | None = None, **changes: Any) -> Path:
    """A llama in one file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(llama_config(**changes)))
    safetensors(folder / "model.safetensors", llama_tensors() if tensors is None else tensors)
    return folder


def converted_tokenizer(folder: Path, size: int, **config: Any) -> Tokenizer:
    """What a folder's tokenizer becomes, read back from a file with a vocabulary only."""
    path = folder / "vocabulary.gguf"
    with GGUFWriter(path) as writer:
        writer.add("general.architecture", "llama")
        for key, value in tokenizer_metadata(folder, Config(config), size).items():
            writer.add(key, value)
    return Tokenizer.from_gguf(path)


def write_json(path: Path, value: Mapping[str, Any] | Sequence[Any]) -> None:
    path.write_text(json.dumps(value))
