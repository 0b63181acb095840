"""Recurrent mixers of a layer: gated delta nets (Qwen3-Next, Qwen 3.5, Kimi Linear), Mamba 2, short convolutions."""

from __future__ import annotations

from dataclasses import replace

from ostinato.model.kinds_table import Activation
from ostinato.model.reader import MAX_HEAD_DIM, MAX_HEADS, ModelError, Reader
from ostinato.model.spec import DeltaNet, Mamba, Norm, Projection, ShortConv, Stream
from ostinato.model.traits import Traits
from ostinato.model.weights import Concat, Rows, Shaped, WeightExpr


def read_recurrent(file: Reader, stem: str, traits: Traits) -> DeltaNet | Mamba | ShortConv | None:
    """The recurrent mixer of a layer, told by its tensors; None where it has none."""
    if file.has(f"{stem}.shortconv.conv.weight"):
        return _short_conv(file, stem)
    if file.has(f"{stem}.ssm_conv1d_q.weight"):
        return _kimi_delta(file, stem)
    if file.has(f"{stem}.ssm_d"):
        return _mamba(file, stem)
    return _delta(file, stem, traits) if file.has(f"{stem}.ssm_a") else None


def _delta(file: Reader, stem: str, traits: Traits) -> DeltaNet:
    """One stream of queries, keys and values; rates and decays in one matrix, by key heads, or in two."""
    heads, value_heads = (file.integer(f"ssm.{name}", high=MAX_HEADS) for name in ("group_count", "time_step_rank"))
    key_dim, inner = file.integer("ssm.state_size", high=MAX_HEAD_DIM), file.integer("ssm.inner_size")
    if value_heads % heads or inner % value_heads:
        raise ModelError(f"{inner} elements and {value_heads} value heads do not share {heads} key heads evenly")
    alpha, beta = _rates(file, stem, heads, value_heads // heads)
    return DeltaNet(
        heads=heads,
        value_heads=value_heads,
        key_dim=key_dim,
        value_dim=inner // value_heads,
        streams=(Stream(file.projection(f"{stem}.attn_qkv"), _kernel(file, f"{stem}.ssm_conv1d")),),
        alpha=(alpha,),
        beta=beta,
        decay=_vector(file, f"{stem}.ssm_a"),
        decay_bias=_vector(file, f"{stem}.ssm_dt.bias"),
        gate=(file.projection(f"{stem}.attn_gate"),),
        norm=file.norm(f"{stem}.ssm_norm", groups=value_heads),
        output=file.projection(f"{stem}.ssm_out"),
        order=traits.head_order,
    )


def _rates(file: Reader, stem: str, heads: int, each: int) -> tuple[Projection, Projection]:
    """(decays, rates). In one matrix every key head has `each` rows of rates, then as many of decays."""
    if not file.has(f"{stem}.ssm_ba.weight"):
        return file.projection(f"{stem}.ssm_alpha"), file.projection(f"{stem}.ssm_beta")
    both = file.tensor(f"{stem}.ssm_ba.weight")
    if file.matrix(f"{stem}.ssm_ba.weight")[0] != 2 * heads * each:
        raise ModelError(f"tensor '{stem}.ssm_ba.weight' must have {2 * heads * each} rows")

    def part(offset: int) -> Projection:
        starts = (2 * each * head + offset for head in range(heads))
        return Projection(Concat(tuple(Rows(both, start, start + each) for start in starts)))

    return part(each), part(0)


def _kimi_delta(file: Reader, stem: str) -> DeltaNet:
    """Kimi's delta attention: a stream each, decays for every element of a key, low-rank decays and gates."""
    heads = file.integer("attention.head_count", high=MAX_HEADS)
    dim = file.integer("kda.head_dim", high=MAX_HEAD_DIM)

    def stream(name: str) -> Stream:
        return Stream(file.projection(f"{stem}.attn_{name}"), _kernel(file, f"{stem}.ssm_conv1d_{name}"))

    return DeltaNet(
        heads=heads,
        value_heads=heads,
        key_dim=dim,
        value_dim=dim,
        streams=(stream("q"), stream("k"), stream("v")),
        alpha=(file.projection(f"{stem}.ssm_f_a"), file.projection(f"{stem}.ssm_f_b")),
        beta=file.projection(f"{stem}.ssm_beta"),
        decay=_vector(file, f"{stem}.ssm_a"),
        decay_bias=_vector(file, f"{stem}.ssm_dt.bias"),
        gate=(file.projection(f"{stem}.ssm_g_a"), file.projection(f"{stem}.ssm_g_b")),
        norm=file.norm(f"{stem}.ssm_norm", groups=heads),
        output=file.projection(f"{stem}.attn_output"),
        gate_act=Activation.SIGMOID,
    )


def _mamba(file: Reader, stem: str) -> Mamba:
    """Mamba 2: one projection holds gate, stream and time steps, in that order."""
    heads, groups = (file.integer(f"ssm.{name}", high=MAX_HEADS) for name in ("time_step_rank", "group_count"))
    inner, state = file.integer("ssm.inner_size"), file.integer("ssm.state_size", high=MAX_HEAD_DIM)
    ends = (0, inner, 2 * inner + 2 * groups * state, 2 * inner + 2 * groups * state + heads)
    gate, stream, time = (file.rows(f"{stem}.ssm_in", ends[i], ends[i + 1]) for i in range(3))
    return Mamba(
        heads=heads,
        groups=groups,
        inner=inner,
        state_dim=state,
        gate=gate,
        stream=Stream(stream, _kernel(file, f"{stem}.ssm_conv1d"), file.optional(f"{stem}.ssm_conv1d.bias")),
        time=time,
        time_bias=_vector(file, f"{stem}.ssm_dt.bias"),
        decay=_vector(file, f"{stem}.ssm_a"),
        skip=_vector(file, f"{stem}.ssm_d"),
        norm=_grouped_norm(file, f"{stem}.ssm_norm", groups),
        output=file.projection(f"{stem}.ssm_out"),
    )


def _grouped_norm(file: Reader, stem: str, groups: int) -> Norm | None:
    """Stored as [groups, elements of one]."""
    if not file.has(f"{stem}.weight"):
        return None
    return replace(file.norm(stem, groups=groups), weight=_vector(file, f"{stem}.weight"))


def _short_conv(file: Reader, stem: str) -> ShortConv:
    return ShortConv(
        projection=file.projection(f"{stem}.shortconv.in_proj"),
        kernel=_kernel(file, f"{stem}.shortconv.conv"),
        bias=file.optional(f"{stem}.shortconv.conv.bias"),
        output=file.projection(f"{stem}.shortconv.out_proj"),
    )


def _kernel(file: Reader, stem: str) -> WeightExpr:
    """[channels, taps], whatever dimensions of length one the file puts between them."""
    shape = file.shape(f"{stem}.weight")
    whole = file.tensor(f"{stem}.weight")
    return whole if len(shape) == 2 else Shaped(whole, (_size(shape[:-1]), shape[-1]))


def _vector(file: Reader, name: str) -> WeightExpr:
    """All elements in a row, whatever dimensions of length one the file has."""
    shape = file.shape(name)
    whole = file.tensor(name)
    return whole if len(shape) == 1 else Shaped(whole, (_size(shape),))


def _size(shape: tuple[int, ...]) -> int:
    total = 1
    for length in shape:
        total *= length
    return total
