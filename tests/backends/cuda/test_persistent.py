"""The persistent decode kernel on the host implementation: scenarios, and real models against separate launches."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ostinato.backends.batch import Batch, Span
from ostinato.backends.batch_table import Kind
from ostinato.backends.contract import Plan
from ostinato.backends.cuda.machine import Left
from ostinato.backends.device.state_table import DRAWN
from ostinato.backends.sampling import Sampling
from ostinato.engine.loading import Options, open_model
from tests.backends.cuda import scenarios
from tests.backends.cuda.host import HostMachine
from tests.backends.drive import GREEDY, enter
from tests.support import BUILTIN


@pytest.mark.parametrize("scenario", scenarios.SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_scenario(scenario: Callable[[str], None]) -> None:
    scenario("")


@pytest.mark.parametrize(("blocks", "warps"), [(1, 1), (7, 2), (5, 8)])
def test_other_grids(blocks: int, warps: int) -> None:
    scenarios.a_run_equals_its_steps("", blocks, warps)


def machine(path: Path, plan: Plan, max_steps: int) -> HostMachine:
    opened = open_model(path, Options(backend="reference"))
    kv_type = opened.plan.kv_type
    return HostMachine(opened.programs, opened.file.tensors, replace(plan, kv_type=kv_type), max_steps)


def prefill(host: HostMachine, prompts: Sequence[Sequence[int]], sampling: Sampling = GREEDY) -> None:
    entered = [enter(host.plan, slot, len(prompt), sampling) for slot, prompt in enumerate(prompts)]
    spans = [Span(slot, Kind.PROMPT, 0, prompt, 1, sample=True) for slot, prompt in enumerate(prompts)]
    host.step(Batch(spans, [e for e, _ in entered], [t for _, t in entered]))


def test_the_built_in_model() -> None:
    """Three sequences with settings: the ring, StepState, keys and values equal those of separate launches."""
    steps = 6
    plan = Plan(max_rows=32, max_logit_rows=4, max_sequences=4, context=64, blocks=16)
    run = Batch([Span(slot, Kind.GENERATED, 0, None, 1, sample=True) for slot in range(3)], steps=steps)
    persistent, stepped = (machine(BUILTIN, plan, steps) for _ in range(2))
    for host in (persistent, stepped):
        prefill(host, [[5, 600, 7], [1200], [9, 8, 7, 6, 5]], Sampling(temperature=0.9, seed=3, logprobs=2))
    taken = persistent.start(run).rest()
    stepped.step(run)
    assert taken.left is Left.STEPS
    np.testing.assert_array_equal(taken.drawn, stepped.drawn()[:, :3])
    np.testing.assert_array_equal(taken.best, stepped.best()[:, :3])
    for name in ("state", "kv full"):
        np.testing.assert_array_equal(persistent.words(name), stepped.words(name))


@pytest.mark.parametrize(
    ("kind", "count"),
    [("f32", 32), pytest.param("f32", 254, marks=pytest.mark.slow), pytest.param("f16", 254, marks=pytest.mark.slow)],
)
def test_golden_ids_of_stories260k(data_dir: Path, kind: str, count: int) -> None:
    """Greedy ids of an independent implementation, drawn by one persistent launch."""
    golden = json.loads((data_dir / "stories260K" / "golden_greedy.json").read_text())
    plan = Plan(max_rows=16, max_logit_rows=2, max_sequences=2, context=272, blocks=34)
    host = machine(data_dir / "stories260K" / f"stories260K-{kind}.gguf", plan, count)
    prefill(host, [golden["prompt_ids"]])
    first = int(host.drawn()[0, 0, DRAWN.index("token")])
    taken = host.start(Batch([Span(0, Kind.GENERATED, 0, None, 1, sample=True)], steps=count)).rest()
    found = [first, *taken.drawn[:, 0, DRAWN.index("token")].tolist()]
    begin = len(golden["prompt_ids"])
    assert found == golden["greedy_ids"][begin : begin + count + 1]
