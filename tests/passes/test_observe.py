"""Programs with their routers' ids as outputs: same numbers, and the ids that were computed with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from ostinato.engine.evaluate import logits, token_outputs
from ostinato.engine.loading import Opened, Options, open_model
from ostinato.engine.local import local_engine
from ostinato.passes.observe import expert_instructions, observe, output_name
from ostinato.program.verify import verify
from tests.support import BUILTIN

TOKENS = list(range(3, 60))


@pytest.fixture(params=["cpu", "reference"])
def opened(request: pytest.FixtureRequest) -> Iterator[Opened]:
    found = open_model(BUILTIN, Options(backend=request.param, context=64, max_rows=24, max_sequences=1))
    with found.file:
        yield found


def test_numbers_stay_and_ids_are_those_of_the_tokens(opened: Opened) -> None:
    observed = replace(opened, programs=observe(opened.programs))
    names = [output_name(i) for i in expert_instructions(opened.programs)]
    for program in observed.programs:
        verify(program, opened.file.tensors)
        assert set(program.outputs) == {"logits", *names}
    plain, _ = local_engine(opened, opened.compile(), 1)
    engine, _ = local_engine(observed, observed.compile(), 1)
    assert np.array_equal(logits(plain, TOKENS), logits(engine, TOKENS))
    chosen = token_outputs(engine, TOKENS, names)
    for instruction, ids in zip(expert_instructions(opened.programs), chosen.values(), strict=True):
        assert ids.dtype.kind == "i"
        assert ids.shape == (len(TOKENS), 2)
        assert (ids[:, 0] != ids[:, 1]).all()
        assert set(np.unique(ids)) <= set(range(8)), instruction.layer
    again = token_outputs(engine, TOKENS[:30], names)
    assert all(np.array_equal(again[name], chosen[name][:30]) for name in names), "later tokens do not matter"
