"""Feed-forward networks of a layer: dense, or experts with what goes with them."""

from __future__ import annotations

from ostinato.model.kinds_table import GroupScore, Scoring
from ostinato.model.reader import MAX_EXPERTS, ModelError, Reader
from ostinato.model.spec import Dense, Experts, Norm, Projection
from ostinato.model.traits import Traits
from ostinato.model.weights import Shaped, WeightExpr, Within

GATING = {1: Scoring.SOFTMAX, 2: Scoring.SIGMOID, 3: Scoring.SOFTMAX}  # 3: softmax over those chosen, normalised


def read_dense(file: Reader, stem: str, traits: Traits, suffix: str = "") -> Dense:
    """`ffn_gate`, `ffn_up`, `ffn_down` (`suffix` for shared experts); gate and up may lie in one tensor, gate first."""
    up, down = f"{stem}.ffn_up{suffix}", file.projection(f"{stem}.ffn_down{suffix}")
    act, limit, shift = traits.act, traits.glu_limit, traits.glu_shift
    if file.has(f"{stem}.ffn_gate{suffix}.weight"):
        gate = file.projection(f"{stem}.ffn_gate{suffix}")
        return Dense(gate, file.projection(up), down, act, limit, shift)
    inner, rows = file.matrix(f"{stem}.ffn_down{suffix}.weight")[1], file.matrix(f"{up}.weight")[0]
    if rows == 2 * inner:
        return Dense(file.rows(up, 0, inner), file.rows(up, inner, rows), down, act, limit, shift)
    return Dense(None, file.projection(up), down, act)


def read_experts(file: Reader, stem: str, traits: Traits) -> Experts:
    """Experts of a layer that has a router."""
    count = file.integer("expert_count", high=MAX_EXPERTS)
    scored = file.matrix(f"{stem}.ffn_gate_inp.weight")[0]
    if scored != count:
        raise ModelError(f"tensor '{stem}.ffn_gate_inp.weight' scores {scored} experts; the metadata say {count}")
    gate, up = _gate_and_up(file, stem, count)
    scoring, normalise = _scoring(file, traits)
    seen = f"{stem}.ffn_gate_inp.scale"  # the gain of what a router of its own norm sees
    correction = file.optional(f"{stem}.exp_probs_b.bias") or file.optional(f"{stem}.exp_probs_b")
    groups = file.integer("expert_group_count", 1, low=0) or 1
    return Experts(
        count=count,
        used=file.integer("expert_used_count", high=count),
        router=file.projection(f"{stem}.ffn_gate_inp"),
        gate=gate,
        up=up,
        down=file.stack(stem, "down", count),
        gate_bias=file.optional(f"{stem}.ffn_gate_exps.bias"),
        up_bias=file.optional(f"{stem}.ffn_up_exps.bias"),
        down_bias=file.optional(f"{stem}.ffn_down_exps.bias"),
        correction=correction,
        gain=file.optional(f"{stem}.ffn_down_exps.scale"),
        scoring=scoring,
        normalise=normalise,
        floor=traits.routing.floor,
        scale=file.number("expert_weights_scale", 1.0, low=-1e6, high=1e6) or 1.0,
        groups=groups,
        top_groups=file.integer("expert_group_used_count", groups, low=0) or groups,
        group_score=GroupScore.MAX if correction is None else GroupScore.TOP_2,  # DeepSeek V2, and V3
        act=traits.act,
        limit=traits.glu_limit,
        shift=traits.glu_shift,
        weigh_input=traits.routing.weigh_input,
        shared=read_dense(file, stem, traits, "_shexp") if file.has(f"{stem}.ffn_up_shexp.weight") else None,
        shared_gate=_shared_gate(file, stem),
        router_norm=Norm(file.tensor(seen), file.eps) if file.has(seen) else None,
        router_scale=file.integer("embedding_length") ** -0.5,
    )


def _gate_and_up(file: Reader, stem: str, count: int) -> tuple[WeightExpr | None, WeightExpr]:
    fused = f"{stem}.ffn_gate_up_exps.weight"
    if file.has(fused):
        whole, rows = file.tensor(fused), file.matrices(fused)[1]
        return Within(whole, 0, rows // 2), Within(whole, rows // 2, rows)
    up = file.stack(stem, "up", count)
    gated = file.has(f"{stem}.ffn_gate_exps.weight") or file.has(f"{stem}.ffn_gate.0.weight")
    return (file.stack(stem, "gate", count) if gated else None), up


def _scoring(file: Reader, traits: Traits) -> tuple[Scoring, bool]:
    stated = file.integer("expert_gating_func", 0, low=0)
    if stated not in (0, *GATING):
        known = ", ".join(map(str, GATING))
        raise ModelError(f"metadata '{file.architecture}.expert_gating_func' is {stated}; supported: {known}")
    scoring = GATING.get(stated, traits.routing.scoring)
    return scoring, stated == 3 or file.flag("expert_weights_norm", traits.routing.normalise)


def _shared_gate(file: Reader, stem: str) -> Projection | None:
    """A vector [width], or a matrix of one row."""
    name = f"{stem}.ffn_gate_inp_shexp.weight"
    if not file.has(name):
        return None
    shape = file.shape(name)
    return Projection(file.tensor(name) if len(shape) == 2 else Shaped(file.tensor(name), (1, *shape)))
