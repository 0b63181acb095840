"""llama.cpp's logits and embeddings of the same files, to set our figures beside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ostinato.gguf.reader import open_gguf


def peer_logits(path: Path, tokens: Sequence[int]) -> np.ndarray:
    """Float32 [T, vocab] by llama.cpp on the CPU, keys and values as halves. ImportError without llama-cpp-python;
    ValueError for a file that it refuses."""
    model = _opened(path, len(tokens), logits_all=True)
    try:
        model.eval(list(tokens))
        return np.array(model.scores[: len(tokens)], np.float32)
    finally:
        model.close()


def peer_embedding(path: Path, tokens: Sequence[int]) -> np.ndarray:
    """Float32 [1, width], pooled as the file says, not normalised. Raises what `peer_logits` raises."""
    import llama_cpp

    model = _opened(path, len(tokens), embedding=True)
    batch = llama_cpp.llama_batch_init(len(tokens), 0, 1)
    try:
        batch.n_tokens = len(tokens)
        for place, token in enumerate(tokens):
            batch.token[place], batch.pos[place] = token, place
            batch.n_seq_id[place], batch.seq_id[place][0], batch.logits[place] = 1, 0, 1
        assert llama_cpp.llama_decode(model.ctx, batch) == 0
        made = llama_cpp.llama_get_embeddings_seq(model.ctx, 0)
        return np.array(made[: model.n_embd()], np.float32)[None]
    finally:
        llama_cpp.llama_batch_free(batch)
        model.close()


def _opened(path: Path, count: int, **options: Any) -> Any:
    """Its own reader does not look at YaRN's two betas, so they are handed over."""
    import llama_cpp

    with open_gguf(path) as file:
        metadata: dict[str, Any] = dict(file.metadata)
    prefix = f"{metadata['general.architecture']}.rope.scaling.yarn_beta_"
    betas: dict[str, Any] = {f"yarn_beta_{name}": metadata.get(prefix + name, -1.0) for name in ("fast", "slow")}
    return llama_cpp.Llama(
        str(path), n_ctx=max(count, 32), n_batch=1024, n_ubatch=1024, n_threads=1, n_gpu_layers=0,
        verbose=False, yarn_attn_factor=-1.0, **betas, **options,
    )  # fmt: skip
