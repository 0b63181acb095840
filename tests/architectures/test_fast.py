"""Every architecture in F32, 17 tokens, beside transformers."""

from __future__ import annotations

import pytest

from tests.architectures.harness import WHOLE, compare, prompt, specimen
from tests.architectures.zoo import ZOO

NMSE = 1e-9  # float32 in another order of sums; deep products of large random weights


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("name", ZOO)
def test_logits_are_those_of_transformers(name: str, backend: str) -> None:
    animal = specimen(name)
    tokens = prompt(17)
    found = compare(animal.ours("F32", tokens, backend, WHOLE), animal.theirs("F32", tokens))
    assert found.worst < NMSE
    assert found.top1 == 1
