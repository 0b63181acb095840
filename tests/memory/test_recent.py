"""What a prompt leaves in the slots: the experts that its last rows wanted most, of every layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ostinato.api import Model
from ostinato.engine.evaluate import token_outputs
from ostinato.engine.local import local_engine
from ostinato.memory.options import Prefetch
from ostinato.memory.store_table import HALF_LIFE
from ostinato.passes.observe import chosen_name, expert_instructions, observe
from tests.memory.streamed import OPTIONS, opened_with

TOKENS, EXPERTS = 60, 8
RESIDENT = 3


def prompt(seed: int) -> list[int]:
    return np.random.default_rng(seed).integers(3, 500, TOKENS).tolist()


def recent_uses(tokens: list[int]) -> np.ndarray:
    """Of every layer but the last, which computes one row of a prompt, and every expert: the tokens that wanted it,
    each counting 2^(-those after it / HALF_LIFE)."""
    with opened_with(0) as opened:
        observed = replace(opened, programs=observe(opened.programs, opened.file.tensors))
        names = [chosen_name(i) for i in expert_instructions(opened.programs)]
        engine, _ = local_engine(observed, observed.compile(), 1)
        chosen = token_outputs(engine, tokens, names)
    fade = 2.0 ** (-np.arange(TOKENS)[::-1] / HALF_LIFE)
    counts = [np.bincount(ids.reshape(-1), np.repeat(fade, ids.shape[1]), EXPERTS) for ids in chosen.values()]
    return np.stack(counts[:-1])


@pytest.mark.parametrize("rows", [TOKENS, 16])  # of a step: the whole prompt, and a part of it
def test_the_most_wanted_are_there_after_a_prompt(rows: int) -> None:
    """Of the uses that the slots could hold, most are held, of the first layer too, which was computed first."""
    machine = replace(OPTIONS, max_rows=rows)
    parts = []
    for seed in range(4):
        uses = recent_uses(prompt(seed))
        with (
            opened_with(0.5, options=machine, prefetch=Prefetch.NONE, elastic=False) as opened,
            Model(opened) as model,
        ):
            list(model.events(prompt(seed), max_tokens=1))
            store = model._executable.store
            assert store is not None
            there = np.array(store.native.states()).reshape(-1, EXPERTS)[: len(uses)] == RESIDENT
            best = np.sort(uses.reshape(-1))[::-1][: there.sum()].sum()
            parts.append(uses[there].sum() / best)
    assert np.mean(parts) > 0.9, parts
