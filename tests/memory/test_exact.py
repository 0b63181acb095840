"""Whatever the budget, the policy, the slots' owners and the threads: the same tokens and logits, bit by bit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from bench.write_model import write_model
from ostinato.api import Model
from ostinato.memory.options import PolicyName, ReadMode, StoreOptions
from tests.memory.streamed import OPTIONS, opened_with
from tests.support import BUILTIN
from tools.llama_files import LlamaShape

SHAPE = LlamaShape(
    layers=3, width=256, heads=4, kv_heads=2, feed_forward=256, vocab=512, context=256, experts=16, experts_used=4
)
TYPES = ("F32", "Q4_K_M", "Q8_0")
TOKENS = 24


@dataclass(frozen=True)
class Answers:
    """Of four prompts of several lengths: logits of the longest, greedy answers alone and together."""

    logits: np.ndarray
    alone: list[list[int]]
    together: list[str]


def prompts(vocab: int) -> list[list[int]]:
    random = np.random.default_rng(5)
    return [random.integers(0, min(vocab, 500), count).tolist() for count in (90, 1, 33, 7)]


def answers(model: Model) -> Answers:
    asked = prompts(model.vocab_size)
    alone = [[e.token for e in model.events(ids, max_tokens=TOKENS, ignore_eos=True)] for ids in asked]
    return Answers(model.logits(asked[0]), alone, model.generate_many(asked, max_tokens=TOKENS, ignore_eos=True))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The built-in model, and random ones of 16 experts, of which 4 are used."""
    folder = tmp_path_factory.mktemp("experts")
    for type in TYPES:
        write_model(folder / f"{type}.gguf", SHAPE, type, "small")
    return {"builtin": BUILTIN, **{type: folder / f"{type}.gguf" for type in TYPES}}


@pytest.fixture(scope="module")
def resident(files: dict[str, Path]) -> dict[str, Answers]:
    found = {}
    for name, path in files.items():
        with opened_with(0, path=path) as opened, Model(opened) as model:
            found[name] = answers(model)
    return found


CASES = [
    (0.1, PolicyName.LRU, False, 2),  # two or three slots for steps that want all experts
    (0.1, PolicyName.LFRU, False, 1),
    (0.32, PolicyName.LFU, True, 2),
    (0.5, PolicyName.LFRU, True, 1),
    (0.6, PolicyName.LRU, False, 2),
]


@pytest.mark.parametrize("name", ["builtin", *TYPES])
@pytest.mark.parametrize(("part", "policy", "per_layer", "threads"), CASES)
def test_a_budget_changes_no_bit(
    files: dict[str, Path], resident: dict[str, Answers], name: str, part: float, policy: PolicyName,
    per_layer: bool, threads: int,
) -> None:  # fmt: skip
    options = StoreOptions(mode=ReadMode.CACHED, policy=policy)
    machine = replace(OPTIONS, threads=threads)
    with opened_with(part, options, machine, files[name], per_layer=per_layer) as opened, Model(opened) as model:
        store = model._executable.store
        assert store is not None
        assert not store.plan.complete
        found = answers(model)
        store.native.check_integrity()
        assert store.native.counters()[:, 1].sum() > 0, "something was missing"
    expected = resident[name]
    assert np.array_equal(found.logits.view(np.uint32), expected.logits.view(np.uint32))
    assert found.alone == expected.alone
    assert found.together == expected.together


def test_a_whole_budget_needs_no_store() -> None:
    with opened_with(2.0) as opened, Model(opened) as model:
        assert model._executable.store is None
        assert model.generate([5, 6, 7], max_tokens=4)
