"""CUDA's route and group, on the host: the reference's choice and order, in any grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ostinato.backends.contract import Plan
from ostinato.backends.reference.functions import softmax
from ostinato.backends.stepstate import Rows
from ostinato.model.kinds_table import Scoring
from ostinato.program.builder import Builder
from tests.backends import reference_op
from tests.backends.cases import Weights
from tests.backends.cuda.small import GRIDS, Small

WIDTH, ROWS = 32, 70
Array = NDArray[Any]


class Routing:
    """route and group of `experts`; the router's logits are written by the test."""

    def __init__(self, experts: int, top_k: int, scoring: Scoring, normalise: int, rows: int = ROWS) -> None:
        def build(b: Builder, w: Weights, x: str) -> str:
            router = w.put("router", np.zeros((experts, WIDTH), np.float32))
            ids, weights = b.add_many(
                "route", x, weights=(router,), top_k=top_k, scoring=scoring, normalise=normalise, scale=1.5
            )
            order, offsets = b.add_many("group", ids, experts=experts)
            stacks = [w.put(name, np.zeros((experts, WIDTH, WIDTH), np.float32)) for name in ("gate", "up", "down")]
            return b.add("combine", b.add("experts", x, order, offsets, weights=tuple(stacks), act=0), weights)

        self.experts, self.top_k, self.scoring, self.normalise = experts, top_k, scoring, normalise
        self.small = Small(np.zeros((rows, WIDTH), np.float32), build)

    def run(self, logits: Array, prompt: int, grid: tuple[int, int] = (4, 3)) -> tuple[Array, Array, Array, Array]:
        """ids, weights, order, offsets for logits [rows, experts], the first `prompt` of kind prompt."""
        host, rows = self.small.machine, len(logits)
        host.blocks, host.warps = grid
        route, group = (host.calls[self.small.call(phase)].words for phase in ("route", "group"))
        host.begin(self.small.batch(range(prompt), range(rows - prompt)))
        host.run(self.small.call("rows"))
        host.floats(int(route["logits"]), rows, self.experts)[:] = logits
        for phase in ("route", "group"):
            host.run(self.small.call(phase))
        many = rows * self.top_k
        return (
            host.floats(int(route["ids"]), rows, self.top_k).view(np.int32).copy(),
            host.floats(int(route["weights"]), rows, self.top_k).copy(),
            host.floats(int(group["order"]), many, 1).view(np.int32).copy(),
            host.floats(int(group["offsets"]), 1, 2 * self.experts + 1).view(np.int32).copy(),
        )

    def wanted(self, logits: Array, prompt: int) -> tuple[Array, Array, Array, Array]:
        empty = np.zeros(0, np.int32)
        step = reference_op.step(Rows(empty, empty, empty, empty, prompt), Plan())
        identity = np.eye(self.experts, dtype=np.float32)
        with np.errstate(all="ignore"):
            ids, weights = reference_op.call(
                "route", step, logits, identity, top_k=self.top_k, scoring=self.scoring, normalise=self.normalise,
                scale=1.5,
            )  # fmt: skip
        return ids, weights, *reference_op.call("group", step, ids, experts=self.experts)


@pytest.mark.parametrize(
    ("experts", "top_k", "scoring", "normalise"),
    [
        (8, 2, Scoring.SOFTMAX, 1),
        (5, 5, Scoring.SIGMOID, 0),
        (1, 1, Scoring.SOFTMAX, 1),
        (33, 3, Scoring.SIGMOID, 1),
        (130, 40, Scoring.SOFTMAX, 0),
        (256, 8, Scoring.SIGMOID, 1),
    ],
)
def test_agrees_with_the_reference(experts: int, top_k: int, scoring: Scoring, normalise: int) -> None:
    routing, random = Routing(experts, top_k, scoring, normalise), np.random.default_rng(experts)
    for rows, prompt in ((ROWS, 30), (1, 0), (17, 17), (33, 1)):
        logits = random.normal(0, 2, (rows, experts)).astype(np.float32)
        logits[rows // 2] = np.rint(logits[rows // 2])  # ties
        logits[rows // 3] = 0
        ids, weights, order, offsets = routing.run(logits, prompt)
        wanted = routing.wanted(logits, prompt)
        np.testing.assert_array_equal(ids, wanted[0])
        np.testing.assert_allclose(weights, wanted[1], rtol=2e-6)
        np.testing.assert_array_equal(order, wanted[2])
        np.testing.assert_array_equal(offsets, wanted[3])


@pytest.mark.parametrize("scoring", Scoring)
def test_logits_that_are_no_numbers_choose_experts_that_exist(scoring: Scoring) -> None:
    routing = Routing(9, 4, scoring, 1)
    logits = np.random.default_rng(3).normal(size=(12, 9)).astype(np.float32)
    logits[0], logits[1], logits[2], logits[3, 4], logits[4, 5] = np.nan, np.inf, -np.inf, np.nan, np.inf
    logits[5, ::2] = -np.inf
    with np.errstate(all="ignore"):
        scores = softmax(logits, axis=-1) if scoring == Scoring.SOFTMAX else 1 / (1 + np.exp(-logits))
    ids, _, order, _ = routing.run(logits, 6)
    np.testing.assert_array_equal(ids, np.argsort(-scores, axis=-1, kind="stable")[:, :4])
    assert sorted(order[:, 0].tolist()) == list(range(48))


@pytest.mark.parametrize("grid", GRIDS)
def test_every_assignment_is_counted(grid: tuple[int, int]) -> None:
    """Rows of both kinds, over steps, modulo 2^32."""
    routing, random = Routing(33, 3, Scoring.SOFTMAX, 1), np.random.default_rng(6)
    uses = routing.small.machine.words("uses").view(np.uint32)
    uses[:] = start = np.where(np.arange(33) % 2, 0, 2**32 - 5).astype(np.uint32)
    wanted = start.copy()
    for rows, prompt in ((ROWS, 30), (1, 0), (17, 17)):
        ids = routing.run(random.normal(0, 2, (rows, 33)).astype(np.float32), prompt, grid)[0]
        wanted += np.bincount(ids.reshape(-1), minlength=33).astype(np.uint32)
    np.testing.assert_array_equal(uses, wanted)


def test_the_grid_changes_no_bit() -> None:
    routing, logits = Routing(40, 6, Scoring.SOFTMAX, 1), np.random.default_rng(4).normal(size=(ROWS, 40))
    first = routing.run(logits.astype(np.float32), 21)
    for grid in (*GRIDS, (40, 8)):
        for found, wanted in zip(routing.run(logits.astype(np.float32), 21, grid), first, strict=True):
            np.testing.assert_array_equal(found.view(np.int32), wanted.view(np.int32), err_msg=str(grid))


def test_company_changes_no_weight() -> None:
    routing, logits = Routing(40, 6, Scoring.SIGMOID, 1), np.random.default_rng(5).normal(size=(ROWS, 40))
    together = routing.run(logits.astype(np.float32), 21)[:2]
    for row in range(0, ROWS, 11):
        for found, wanted in zip(routing.run(logits[row : row + 1].astype(np.float32), 0), together, strict=False):
            np.testing.assert_array_equal(found[0].view(np.int32), wanted[row].view(np.int32))
