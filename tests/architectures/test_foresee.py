"""Every mixture of experts of the zoo: hints before its layers, and not a number changes."""

from __future__ import annotations

import numpy as np
import pytest

from ostinato.backends.reference import ReferenceBackend
from ostinato.engine.loading import Options, open_model
from ostinato.passes.foresee import Foresight, foresee
from ostinato.passes.fuse import fuse
from ostinato.program.verify import verify
from tests.architectures.harness import specimen
from tests.architectures.zoo import ZOO
from tests.passes.programs import logits

MIXTURES = [name for name, animal in ZOO.items() if any("experts" in key for key in animal.changes)]


@pytest.mark.parametrize("name", MIXTURES)
def test_experts_are_foreseen(name: str) -> None:
    """All but those of a first layer, before which nothing looks at the residual."""
    opened = open_model(specimen(name).file("F32"), Options(backend="reference", max_sequences=1, max_rows=64))
    tensors = opened.file.tensors
    try:
        for by in Foresight:
            program, left = foresee(fuse(opened.programs.decode), tensors, lambda _: True, by)
            verify(program, tensors)
            mixtures = [i.layer for i in program.instructions if i.op == "experts"]
            hints = [i for i in program.instructions if i.op == "foresee"]
            assert len(hints) + len(left) == len(mixtures) > 0
            assert [unforeseen.layer for unforeseen in left] in ([], [0])
            programs = opened.programs.rewritten(lambda p, by=by: foresee(p, tensors, lambda _: True, by)[0])
            np.testing.assert_array_equal(
                logits(ReferenceBackend(), opened, programs), logits(ReferenceBackend(), opened, opened.programs)
            )
    finally:
        opened.file.close()
