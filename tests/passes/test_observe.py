"""Programs with their routers' ids as outputs: same numbers, and the ids that were computed with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from ostinato.engine.evaluate import logits, token_outputs
from ostinato.engine.loading import Opened, Options, open_model
from ostinato.engine.local import local_engine
from ostinato.passes.observe import chosen_name, expert_instructions, foreseen_name, observe
from ostinato.program.verify import verify
from tests.support import BUILTIN

TOKENS = list(range(3, 60))


@pytest.fixture(params=["cpu", "reference"])
def opened(request: pytest.FixtureRequest) -> Iterator[Opened]:
    found = open_model(BUILTIN, Options(backend=request.param, context=64, max_rows=24, max_sequences=1))
    with found.file:
        yield found


def test_numbers_stay_and_ids_are_those_of_the_tokens(opened: Opened) -> None:
    observed = replace(opened, programs=observe(opened.programs, opened.file.tensors))
    stacks = expert_instructions(opened.programs)
    names, ahead = [chosen_name(i) for i in stacks], [foreseen_name(i) for i in stacks]
    for program in observed.programs:
        verify(program, opened.file.tensors)
        assert {"logits", *names} < set(program.outputs) <= {"logits", *names, *ahead}
        assert set(ahead[1:]) <= set(program.outputs), "every stack but the first has a layer before it"
        assert "foresee" not in {i.op for i in program.instructions}
    plain, _ = local_engine(opened, opened.compile(), 1)
    engine, _ = local_engine(observed, observed.compile(), 1)
    assert np.array_equal(logits(plain, TOKENS), logits(engine, TOKENS))
    chosen = token_outputs(engine, TOKENS, names)
    for instruction, ids in zip(expert_instructions(opened.programs), chosen.values(), strict=True):
        assert ids.dtype.kind == "i"
        assert ids.shape == (len(TOKENS), 2)
        assert (ids[:, 0] != ids[:, 1]).all()
        assert set(np.unique(ids)) <= set(range(8)), instruction.layer
    guessed = token_outputs(engine, TOKENS, ahead[2:])  # the first layers change too much
    for ids, name in zip(guessed.values(), names[2:], strict=True):
        right = np.mean([len(set(a) & set(b)) for a, b in zip(ids.tolist(), chosen[name].tolist(), strict=True)]) / 2
        assert right > 0.4, "a guess that knows nothing is right a quarter of the time"
    again = token_outputs(engine, TOKENS[:30], names)
    assert all(np.array_equal(again[name], chosen[name][:30]) for name in names), "later tokens do not matter"
