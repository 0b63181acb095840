"""What `sample` means: bias, penalties, mask, temperature, top-k, top-p, min-p, and a draw by Gumbel noise.

    token = argmax over kept t of  logit'[t] / temperature - log(-log(u_t)),  u_t = RNG(seed, choice, position, t)

which draws from the softmax of the kept tokens (Gumbel-max). Ties go to the lower id. Temperature 0 is the
argmax of the penalised logits.
"""

from __future__ import annotations

import numpy as np

from ostinato.backends.reference.rng import uniform
from ostinato.backends.sampling import Sampling


def sample_row(
    logits: np.ndarray,
    settings: Sampling,
    history: np.ndarray,
    prompt_length: int,
    mask: np.ndarray | None = None,
) -> int:
    """Draws the token at position len(history), or -1 where no allowed logit is a number. logits float32 [vocab];
    history int32, all tokens before; mask uint32 [ceil(vocab/32)], bit set: allowed."""
    scores = penalise(logits, settings, history, prompt_length)
    if mask is not None:
        scores = np.where(unpack_mask(mask, len(scores)), scores, np.float32(-np.inf))
    scores = np.where(np.isnan(scores), np.float32(-np.inf), scores)
    highest, temperature = scores.max(), np.float32(settings.temperature)
    if highest == -np.inf:
        return -1
    with np.errstate(over="ignore", divide="ignore"):
        certain = temperature == 0 or np.isinf(highest / temperature)
    if certain:
        return int(np.argmax(scores))
    scores = scores / temperature
    kept = keep(scores, settings)
    noise = uniform(settings.seed, settings.choice, len(history), kept)
    return int(kept[np.argmax(scores[kept] - np.log(-np.log(noise)))])


def penalise(logits: np.ndarray, settings: Sampling, history: np.ndarray, prompt_length: int) -> np.ndarray:
    """Logits after bias and penalties. Repetition looks at every earlier token, presence and frequency at the
    generated ones."""
    scores = logits.astype(np.float32, copy=True)
    for token, bias in settings.logit_bias:
        scores[token] += np.float32(bias)
    if settings.repetition_penalty != 1.0:
        seen, penalty = np.unique(history), np.float32(settings.repetition_penalty)
        scores[seen] = np.where(scores[seen] > 0, scores[seen] / penalty, scores[seen] * penalty)
    if settings.presence_penalty or settings.frequency_penalty:
        tokens, counts = np.unique(history[prompt_length:], return_counts=True)
        scores[tokens] -= np.float32(settings.presence_penalty)
        scores[tokens] -= np.float32(settings.frequency_penalty) * counts.astype(np.float32)
    return scores


def keep(scores: np.ndarray, settings: Sampling) -> np.ndarray:
    """Ids that top-k, then top-p, then min-p leave, ascending. Probabilities are those after temperature."""
    order = np.argsort(-scores, kind="stable")  # ties: lower id first
    order = order[scores[order] > -np.inf]
    if 0 < settings.top_k < len(order):
        order = order[: settings.top_k]
    weights = np.exp(scores[order] - scores[order[0]])
    if settings.top_p < 1.0:
        before = np.cumsum(weights) - weights  # probability mass of the better ones
        order = order[before < np.float32(settings.top_p) * weights.sum(dtype=np.float32)]
        order = order if len(order) else np.argmax(scores, keepdims=True)
    if settings.min_p > 0.0:
        order = order[weights[: len(order)] >= np.float32(settings.min_p)]
    return np.sort(order)


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Log softmax of raw logits, float32 [vocab]."""
    shifted = logits - logits.max()
    return shifted - np.log(np.exp(shifted).sum(dtype=np.float32))


def best(logits: np.ndarray, count: int) -> np.ndarray:
    """Ids of the `count` highest logits, best first; ties: lower id first."""
    return np.argsort(-logits, kind="stable")[:count]


def unpack_mask(mask: np.ndarray, vocab_size: int) -> np.ndarray:
    """bool [vocab] from bits: bit t % 32 of word t / 32."""
    return np.unpackbits(mask.view(np.uint8), bitorder="little")[:vocab_size].astype(bool)
