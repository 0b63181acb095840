"""Op cases of routing and experts: groups, corrections, ties, biases, limits, scales, experts without a gate."""

from __future__ import annotations

import numpy as np

from ostinato.gguf.types_table import TensorType
from ostinato.model.kinds_table import Activation, GroupScore, Scoring
from ostinato.model.weights import Tensor
from ostinato.program.builder import Builder
from tests.backends.opcase import OpCase, Weights, tolerance

F32 = TensorType.F32
EXPERTS, USED, WIDTH = 12, 3, 40


def _route(
    what: str, scoring: Scoring = Scoring.SIGMOID, bias: bool = False, correction: bool = False, gain: bool = False,
    normalise: int = 1, floor: float = 0.0, groups: int = 1, top_groups: int = 1,
    group_score: GroupScore = GroupScore.MAX, ties: bool = False,
) -> OpCase:  # fmt: skip
    """Which experts are chosen shows in the ids' embedding, a combination of vectors that differ by expert. With
    `ties`, half of the router's rows are zeros: their scores are the same to the bit."""

    def build(b: Builder, w: Weights, x: str) -> str:
        router = w.normal("router", (EXPERTS, WIDTH), F32, 0.4)
        if ties:
            router = w.put("router", np.where(np.arange(EXPERTS)[:, None] % 2, 0.0, _stored(w)).astype(np.float32))
        weights = (
            router,
            w.normal("bias", (EXPERTS,), F32, 0.5) if bias else None,
            w.normal("correction", (EXPERTS,), F32, 2.0) if correction else None,
            w.normal("gain", (EXPERTS,), F32, 1.0) if gain else None,
        )
        ids, shares = b.add_many(
            "route", x, weights=weights, top_k=USED, scoring=scoring, normalise=normalise, scale=1.5, floor=floor,
            groups=groups, top_groups=top_groups, group_score=group_score,
        )  # fmt: skip
        order, offsets = b.add_many("group", ids, experts=EXPERTS)
        stacks = (None, w.normal("up", (EXPERTS, 24, WIDTH), F32), w.normal("down", (EXPERTS, 17, 24), F32))
        out = b.add("experts", x, order, offsets, weights=stacks, act=Activation.IDENTITY)
        return b.add("combine", out, shares)

    parts = (scoring.name, group_score.name, "normalise" if normalise else "", "ties" if ties else "")
    return OpCase(f"route[{what}] {groups}/{top_groups} {' '.join(filter(None, parts))}", WIDTH, build)


def _stored(w: Weights) -> np.ndarray:
    return w.tensors["router"].data.view(np.float32).reshape(EXPERTS, WIDTH)


def _experts(
    what: str, kind: TensorType = F32, gate: bool = True, biases: bool = False, scales: bool = False,
    act: Activation = Activation.SILU, limit: float = 0.0, shift: float = 0.0, bias_kind: TensorType = F32,
) -> OpCase:  # fmt: skip
    count, used = 5, 2
    width, hidden = (256, 256) if kind.block_elements > 1 else (70, 33)

    def build(b: Builder, w: Weights, x: str) -> str:
        ids, shares = b.add_many("route", x, weights=(w.normal("router", (count, width), F32),), top_k=used)
        order, offsets = b.add_many("group", ids, experts=count)

        def stack(name: str, n: int, k: int) -> tuple[Tensor, Tensor | None]:
            bias = w.normal(f"{name} bias", (count, n), bias_kind, 0.7) if biases else None
            return w.normal(name, (count, n, k), kind), bias

        gates = stack("gate", hidden, width) if gate else (None, None)
        parts = (gates, stack("up", hidden, width), stack("down", width, hidden))
        weights = (*(part for part, _ in parts), *(bias for _, bias in parts))
        factors = shares if scales else None
        out = b.add("experts", x, order, offsets, factors, weights=weights, act=act, limit=limit, shift=shift)
        return b.add("combine", out, shares, plain=int(scales))

    name = f"experts[{what}] {kind.name} {act.name} {limit} {shift} {bias_kind.name.lower()}"
    return OpCase(name, width, build, 3 * tolerance(kind))


def _foresee(follow: int) -> OpCase:
    """Hints beside the experts that they are for."""
    count, used, width = 5, 2, 70

    def build(b: Builder, w: Weights, x: str) -> str:
        ids, shares = b.add_many("route", x, weights=(w.normal("router", (count, width), F32),), top_k=used)
        stacks = tuple(w.normal(name, (count, width, width), F32) for name in ("gate", "up", "down"))
        b.add("foresee", ids, weights=stacks, follow=follow)
        order, offsets = b.add_many("group", ids, experts=count)
        return b.add("combine", b.add("experts", x, order, offsets, weights=stacks, act=Activation.SILU), shares)

    return OpCase(f"foresee {follow}", width, build, 3 * tolerance(F32))


def _fetch() -> OpCase:
    def build(b: Builder, w: Weights, x: str) -> str:
        for parcel, name in enumerate(("first", "second")):
            b.add("fetch", parcel=parcel, next=1 - parcel)
            x = b.add("linear", x, weights=(w.normal(name, (70, 70), F32),))
            b.add("drop", parcel=parcel)
        return x

    return OpCase("fetch", 70, build, tolerance(F32))


_GROUPS = tuple((scoring, score) for scoring in Scoring for score in GroupScore)

EXPERT_CASES: tuple[OpCase, ...] = (
    *(_route("groups", s, groups=4, top_groups=2, group_score=g, correction=True) for s, g in _GROUPS),
    *(_route("groups", s, groups=4, top_groups=2, group_score=g, ties=True) for s, g in _GROUPS),
    _route("groups", Scoring.SOFTMAX, groups=3, top_groups=1, normalise=0),
    _route("correction", correction=True),
    _route("bias", bias=True),
    _route("bias+gain", Scoring.SOFTMAX, bias=True, gain=True),
    _route("floor", floor=2.0),
    *(_experts("biases", kind, biases=True) for kind in (F32, TensorType.Q8_0)),
    _experts("biases", biases=True, bias_kind=TensorType.F16),
    _experts("limit", biases=True, act=Activation.QUICK_GELU, limit=0.6, shift=1.0),
    *(_experts("no-gate", kind, gate=False, act=Activation.RELU_SQUARED) for kind in (F32, TensorType.Q4_K)),
    _experts("no-gate", gate=False, biases=True, act=Activation.GELU_ERF),
    *(_experts("scales", kind, scales=True) for kind in (F32, TensorType.Q8_0)),
    *(_foresee(follow) for follow in (0, 3)),
    _fetch(),
)
