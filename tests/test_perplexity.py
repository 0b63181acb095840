"""Perplexity: against llama.cpp's logits, against logits taken whole, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from math import exp
from pathlib import Path

import numpy as np
import pytest

import ostinato
from ostinato.api import Model
from ostinato.perplexity import estimates
from tests.support import BUILTIN, ROOT

CONTEXT = 128


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    with ostinato.load(BUILTIN, context=CONTEXT) as model:
        yield model


def text_ids(model: Model, windows: int) -> list[int]:
    return model.tokenize((ROOT / "README.md").read_text())[: windows * CONTEXT + 5]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def test_log_probabilities_are_those_of_the_logits(model: Model) -> None:
    ids = text_ids(model, 1)[:CONTEXT]
    whole = log_softmax(model.logits(ids))[np.arange(CONTEXT - 1), ids[1:]]
    for first in (0, 1, 63, CONTEXT - 2):
        assert np.allclose(model.logprobs(ids, first), whole[first:], rtol=0, atol=1e-4)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_steps_without_logits(backend: str) -> None:
    """Rows before `first` go through whole steps that end in no row at all."""
    with ostinato.load(BUILTIN, backend, context=CONTEXT) as model:
        ids = text_ids(model, 1)[:40]
        assert np.allclose(model.logprobs(ids, 30), model.logprobs(ids)[30:], rtol=0, atol=1e-4)


def test_halves_of_windows_are_scored(model: Model) -> None:
    ids = text_ids(model, 2)
    *_, last = estimates(model, ids, CONTEXT)
    nlls = []
    for start in (0, CONTEXT):
        window = ids[start : start + CONTEXT]
        if model.tokenizer.add_bos and model.tokenizer.bos_id is not None:
            window[0] = model.tokenizer.bos_id
        rows = log_softmax(model.logits(window))
        nlls += [-rows[at, window[at + 1]] for at in range(CONTEXT // 2, CONTEXT - 1)]
    assert (last.windows, last.tokens) == (2, len(nlls))
    assert last.nll == pytest.approx(np.mean(nlls), abs=1e-4)
    assert last.perplexity == pytest.approx(exp(np.mean(nlls)), rel=1e-4)
    assert last.error == pytest.approx(last.perplexity * np.std(nlls) / (len(nlls) - 1) ** 0.5, rel=1e-3)


@pytest.mark.parametrize(("name", "kv_type", "tolerance"), [("f32", 0, 1e-6), ("f16", 1, 5e-5)])
def test_it_is_llama_cpps(name: str, kv_type: int, tolerance: float, data_dir: Path) -> None:
    """The same windows through llama.cpp's logits, keys and values in the type that we keep them in. Its own choices
    (flash attention, or not) move the last digits by 2e-4."""
    llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed (the `dev` extra)")
    path = data_dir / "stories260K" / f"stories260K-{name}.gguf"
    story = (data_dir / "stories260K" / "golden_greedy_n256.txt").read_text()
    with ostinato.load(path, context=CONTEXT) as model:
        ids = model.tokenize(story)
        *_, last = estimates(model, ids, CONTEXT)
    peer = llama_cpp.Llama(str(path), n_ctx=CONTEXT, logits_all=True, verbose=False, type_k=kv_type, type_v=kv_type)
    assert peer.tokenize(story.encode(), add_bos=True) == ids
    nlls = []
    for start in range(0, len(ids) - CONTEXT + 1, CONTEXT):
        window = [peer.token_bos(), *ids[start + 1 : start + CONTEXT]]
        peer.reset()
        peer.eval(window)
        rows = log_softmax(peer.scores[:CONTEXT])
        nlls += [-rows[at, window[at + 1]] for at in range(CONTEXT // 2, CONTEXT - 1)]
    assert last.tokens == len(nlls) > 60
    assert last.perplexity == pytest.approx(exp(np.mean(nlls)), rel=tolerance)


def test_what_does_not_fit_is_refused(model: Model) -> None:
    with pytest.raises(ValueError, match="at least one window of 128"):
        next(estimates(model, [3] * 127, CONTEXT))
    with pytest.raises(ValueError, match="at least 8"):
        next(estimates(model, [3] * 127, 4))
    with pytest.raises(ValueError, match="first position is 5"):
        model.logprobs([3] * 6, 5)
