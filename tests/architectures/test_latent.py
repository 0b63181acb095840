"""Latent attention in both forms of GGUF: split and turned (absorbed), and whole (`attn_kv_b`, naive)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ostinato.engine.loading import Options, open_model
from ostinato.gguf.types_table import TensorType
from ostinato.model.architectures import read_spec
from ostinato.model.weights import StoredTensor
from ostinato.program.compile import compile_model
from tests.architectures.harness import WHOLE, compare, prompt, run_logits, specimen
from tests.backends.cases import MemoryTensor

NMSE = 1e-9


class _Whole:
    """A file as converters before the split wrote it: `attn_kv_b`, and lengths of what the latent stands for."""

    def __init__(self, metadata: dict[str, Any], tensors: dict[str, StoredTensor]) -> None:
        lengths = {kind: metadata.pop(f"deepseek2.attention.{kind}_length_mla") for kind in ("key", "value")}
        self.metadata = metadata | {f"deepseek2.attention.{kind}_length": size for kind, size in lengths.items()}
        self.tensors = {name: t for name, t in tensors.items() if "attn_k_b" not in name and "attn_v_b" not in name}
        for name in [name for name in tensors if name.endswith("attn_k_b.weight")]:
            keys, values = (_floats(tensors[n]) for n in (name, name.replace("attn_k_b", "attn_v_b")))
            both = np.concatenate([keys.swapaxes(1, 2), values], axis=1).reshape(-1, keys.shape[1])
            whole = name.replace("attn_k_b", "attn_kv_b")
            self.tensors[whole] = MemoryTensor(whole, TensorType.F32, both.shape, both.reshape(-1).view(np.uint8))


def _floats(tensor: StoredTensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.data).reshape(-1).view(np.float32).reshape(tensor.shape)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("name", ["deepseek-v2", "deepseek-v3"])
def test_the_naive_form_says_the_same(name: str, backend: str) -> None:
    animal, tokens = specimen(name), prompt(17)
    opened = open_model(animal.file("F32"), Options(backend="reference", max_sequences=1, max_logit_rows=64))
    whole = _Whole(dict(opened.file.metadata), dict(opened.file.tensors))
    programs = compile_model(read_spec(whole), whole.tensors)
    widths = {(cache.kv_heads, cache.value_dim) for cache in programs.caches}
    assert widths == {(8, 40)}, "every head's keys and values are kept"
    assert {(c.kv_heads, c.value_dim) for c in opened.programs.caches} == {(1, 0)}, "one latent serves all heads"
    naive = replace(opened, programs=programs, file=_File(opened.file, whole.tensors))
    found = compare(run_logits(naive, backend, tokens, WHOLE), animal.theirs("F32", tokens))
    opened.file.close()
    assert found.worst < NMSE


class _File:
    """An open file with other tensors."""

    def __init__(self, file: Any, tensors: dict[str, StoredTensor]) -> None:
        self._file, self.tensors = file, tensors

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
