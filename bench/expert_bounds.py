"""What policies would have hit on the text of bench/experts.py, with the slots that a budget left: the bounds of what
was measured. Which experts the text uses lies beside the model (`save_use`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.expert_use import Use
from bench.store import model_parcels
from ostinato.memory.budget import plan
from ostinato.memory.options import StoreOptions
from ostinato.memory.simulate import compare
from ostinato.memory.trace import Trace, make_trace


def save_use(model: Path, use: Use) -> None:
    np.savez_compressed(_place(model), use=use)


def bounds(model: Path, slot_bytes: int, prompt: int, warm: int) -> dict[str, float]:
    """The hit rate of every policy on what follows the prompt, which is one step, and the `warm` tokens after it."""
    with np.load(_place(model)) as saved:
        use: Use = saved["use"]
    parcels = model_parcels(model)
    made = plan(parcels, parcels.resident_bytes + slot_bytes)
    trace = decoding_trace(use, prompt, len(parcels.parcels) // use.shape[1])
    layers = use.shape[1]
    return dict(compare(
        trace, made.cache, [cache.quota for cache in made.caches], StoreOptions().half_life * layers,
        skip=(1 + warm) * layers,
    ))  # fmt: skip


def decoding_trace(use: Use, prompt: int, experts: int) -> Trace:
    """A step a layer for the whole prompt, then for every token; expert e of layer l is parcel experts x l + e."""
    layers = use.shape[1]
    first = [np.unique(use[:prompt, layer]) + layer * experts for layer in range(layers)]
    rest = [use[token, layer] + layer * experts for token in range(prompt, len(use)) for layer in range(layers)]
    return make_trace([step.tolist() for step in (*first, *rest)])


def _place(model: Path) -> Path:
    return model.with_suffix(".use.npz")
