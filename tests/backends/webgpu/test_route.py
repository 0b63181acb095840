"""route and group against the reference: ties, both scorings, NaN, empty experts, prompt and generated rows."""

from __future__ import annotations

import numpy as np
import pytest

from ostinato.backends.batch import Batch, Enter, Span
from ostinato.backends.batch_table import Kind
from ostinato.backends.contract import Plan
from ostinato.backends.reference import ops
from ostinato.backends.sampling import Sampling
from ostinato.backends.stepstate import StepState
from ostinato.model.kinds_table import Scoring
from ostinato.program.ops_table import Axis
from tests.backends import reference_op
from tests.backends.cases import EXACT, nmse
from tests.backends.webgpu.support import needs_adapter
from tests.backends.webgpu.world import GARBAGE, World

pytestmark = needs_adapter

PLAN = Plan(max_rows=512, max_logit_rows=8, max_sequences=4, context=512, blocks=1)
IDS, WEIGHTS, LOGITS = 16, 8192, 16384  # places in the arena
ORDER, OFFSETS = 24576, 32768
ARENA = 1 << 17


def step(prompt: int, generated: int, groups: int = 3) -> tuple[World, ops.Step]:
    """A step of so many rows of either kind."""
    spans = [Span(0, Kind.PROMPT, 0, [1] * prompt, 2)] if prompt else []
    if generated:
        spans.append(Span(1, Kind.GENERATED, 3, [1] * generated, 1))
    batch = Batch(spans, [Enter(span.slot, 1, Sampling()) for span in spans])
    world = World(PLAN, arena=ARENA, groups=groups)
    world.take(batch)
    world.run("rows")
    state = StepState(PLAN, 0)
    return world, reference_op.step(state.apply(batch), PLAN, batch, state)


def route(world: World, logits: np.ndarray, top_k: int, **fields: float) -> tuple[np.ndarray, np.ndarray]:
    """(ids, weights) [rows, top_k] of router logits."""
    world.arena[LOGITS : LOGITS + logits.size] = logits.astype(np.float32).reshape(-1).view(np.uint32)
    words = {"experts": logits.shape[1], "top_k": top_k, "axis": Axis.T, "factor": 1, **fields}
    world.run("route", ids=IDS, weights=WEIGHTS, logits=LOGITS, **words)
    shape = (len(logits), top_k)
    ids, weights = (world.arena[at : at + logits.shape[0] * top_k].reshape(shape) for at in (IDS, WEIGHTS))
    return ids.view(np.int32), weights.view(np.float32)


@pytest.mark.parametrize("scoring", list(Scoring))
@pytest.mark.parametrize("normalise", [0, 1])
@pytest.mark.parametrize(("experts", "top_k", "groups"), [(8, 2, 1), (7, 7, 3), (60, 4, 64), (300, 9, 5)])
def test_route(scoring: Scoring, normalise: int, experts: int, top_k: int, groups: int) -> None:
    world, reference = step(11, 6, groups)
    logits = np.random.default_rng(experts).normal(0, 2, (17, experts)).astype(np.float32)
    fields = {"scoring": scoring, "normalise": normalise, "scale": 2.5}
    wanted = reference_op.call("route", reference, logits, np.eye(experts, dtype=np.float32), top_k=top_k, **fields)
    ids, weights = route(world, logits, top_k, **fields)
    np.testing.assert_array_equal(ids, wanted[0])
    assert nmse(weights, wanted[1]) <= EXACT
    assert (world.arena[IDS + 17 * top_k : WEIGHTS] == GARBAGE).all()


def test_ties_go_to_the_lower_expert() -> None:
    world, _ = step(2, 0)
    ids, weights = route(world, np.array([[1, 3, 1, 3, 3, 0], [0, 0, 0, 0, 0, 0]]), 4, normalise=1, scale=1.0)
    assert ids.tolist() == [[1, 3, 4, 0], [0, 1, 2, 3]]
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-6)


def test_logits_that_are_no_numbers_route_to_different_experts() -> None:
    world, _ = step(2, 0)
    ids, _ = route(world, np.array([[np.nan] * 5, [1, np.nan, np.inf, -np.inf, 2]]), 5, normalise=1, scale=1.0)
    assert [sorted(row) for row in ids.tolist()] == [[0, 1, 2, 3, 4]] * 2


@pytest.mark.parametrize(("prompt", "generated"), [(5, 3), (0, 1), (400, 7), (3, 0)])
@pytest.mark.parametrize(("experts", "top_k", "groups"), [(4, 2, 1), (60, 6, 7), (128, 1, 300)])
def test_group(prompt: int, generated: int, experts: int, top_k: int, groups: int) -> None:
    world, reference = step(prompt, generated, groups)
    rows = prompt + generated
    random = np.random.default_rng(rows)
    ids = np.minimum(random.geometric(0.2, (rows, top_k)) - 1, experts - 1).astype(np.int32)
    world.arena[IDS : IDS + ids.size] = ids.reshape(-1).view(np.uint32)
    words = {"experts": experts, "top_k": top_k, "axis": Axis.T, "factor": 1}
    world.run("group", order=ORDER, offsets=OFFSETS, ids=IDS, **words)
    order, offsets = ops.group(reference, ids, experts=experts)
    np.testing.assert_array_equal(world.arena[ORDER : ORDER + ids.size], order[:, 0])
    np.testing.assert_array_equal(world.arena[OFFSETS : OFFSETS + 2 * experts + 1], offsets[0])
    assert (world.arena[ORDER + ids.size : OFFSETS] == GARBAGE).all()


def test_group_of_logit_rows() -> None:
    """Prompt rows are those of R."""
    world, _ = step(5, 3)
    world.arena[IDS : IDS + 3] = [1, 0, 1]
    world.run("group", order=ORDER, offsets=OFFSETS, ids=IDS, experts=2, top_k=1, axis=Axis.R, factor=1)
    assert world.arena[ORDER : ORDER + 3].tolist() == [1, 0, 2]
    assert world.arena[OFFSETS : OFFSETS + 5].tolist() == [0, 1, 2, 2, 3]
