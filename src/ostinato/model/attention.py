"""Attention of a layer: grouped-query with what a file or an architecture adds to it, and latent attention."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import pairwise
from math import log

from ostinato.model.kinds_table import AttentionMask, RopeStyle
from ostinato.model.reader import MAX_HEAD_DIM, MAX_HEADS, ModelError, Reader
from ostinato.model.rope import read_rope
from ostinato.model.spec import Attention, LatentAttention, Norm, Projection, Rope, Temperature
from ostinato.model.traits import Traits
from ostinato.model.weights import Concat, Rows, Shaped


def read_attention(file: Reader, layer: int, width: int, traits: Traits) -> Attention | LatentAttention:
    """The attention of a layer in a model of `width`. Raises ModelError where sizes do not fit each other."""
    stem = f"blk.{layer}"
    if file.has(f"{stem}.attn_kv_a_mqa.weight"):
        return _latent(file, stem, traits)
    windowed = is_windowed(file, layer, traits)
    heads, kv_heads, key_dim, value_dim = _head_sizes(file, layer, width, windowed)
    shares = _shared_layer(file, layer, traits)
    if shares is None:
        sizes = heads * key_dim, kv_heads * key_dim, kv_heads * value_dim
        query, key, value = _queries_keys_values(file, stem, *sizes, traits.keyed_values)
    else:
        query, key, value = file.projection(f"{stem}.attn_q"), None, None
    query, gate = _query_and_gate(file, stem, query, heads, key_dim)
    scale = key_dim**-0.5 if traits.attention_scale is None else traits.attention_scale(file, key_dim)
    rope = _rope(file, layer, key_dim, traits, windowed)
    unit = partial(Norm, None, file.eps, None, False) if traits.unit_heads and rope is not None else None
    return Attention(
        heads=heads,
        kv_heads=kv_heads,
        key_dim=key_dim,
        value_dim=value_dim,
        scale=file.number("attention.scale", 0.0, low=0, high=1e3) or scale,
        query=query,
        key=key,
        value=value,
        output=file.projection(f"{stem}.attn_output"),
        rope=rope,
        query_norm=unit(heads) if unit else _head_norm(file, f"{stem}.attn_q_norm", heads, key_dim),
        key_norm=unit(kv_heads) if unit else _head_norm(file, f"{stem}.attn_k_norm", kv_heads, key_dim),
        value_norm=Norm(None, file.eps, None, False, kv_heads) if traits.unit_values else None,
        rope_first=traits.rope_first,
        mask=_mask(traits, windowed),
        window=window(file, traits) if windowed else 0,
        softcap=file.number("attn_logit_softcapping", 0.0, low=0, high=1e6),
        sinks=file.optional(f"{stem}.attn_sinks.weight"),
        gate=gate,
        temperature=traits.unrotated_temperature if rope is None else _temperature(file),
        shares=shares,
    )


def _head_sizes(file: Reader, layer: int, width: int, windowed: bool) -> tuple[int, int, int, int]:
    """(heads, KV heads, elements of a key, elements of a value); heads of layers with a window may have their own."""
    heads = file.per_layer("attention.head_count", layer, low=1, high=MAX_HEADS)
    kv_heads = file.per_layer("attention.head_count_kv", layer, heads, low=1, high=heads)
    if heads % kv_heads:
        raise ModelError(f"{heads} heads cannot share {kv_heads} KV heads evenly")
    swa = "_swa" if windowed and file.get("attention.key_length_swa") is not None else ""
    key_dim = file.integer(f"attention.key_length{swa}", max(width // heads, 1), high=MAX_HEAD_DIM)
    return heads, kv_heads, key_dim, file.integer(f"attention.value_length{swa}", key_dim, high=MAX_HEAD_DIM)


def _shared_layer(file: Reader, layer: int, traits: Traits) -> int | None:
    """The layer whose keys and values this one reads: the last layers (`shared_kv_layers`) take those of the last
    layer of their kind that has its own."""
    own = file.layers - file.integer("attention.shared_kv_layers", 0, low=0)
    if layer < own:
        return None
    for part in ("attn_k", "attn_v"):  # files may have them all the same
        file.ignore(f"blk.{layer}.{part}.")
        file.ignore(f"blk.{layer}.{part}_norm.")
    kind = is_windowed(file, layer, traits)
    earlier = [index for index in range(own) if is_windowed(file, index, traits) == kind]
    if not earlier:
        raise ModelError(f"layer {layer} shares keys and values, but none of the first {own} layers is of its kind")
    return earlier[-1]


def window(file: Reader, traits: Traits) -> int:
    """Positions that layers with a window see; 0: no layer has one."""
    return file.integer("attention.sliding_window", traits.windows.default, low=0)


def is_windowed(file: Reader, layer: int, traits: Traits) -> bool:
    """Whether a layer sees a window only: `sliding_window_pattern` as a list or a period, else the architecture's."""
    if not window(file, traits):
        return False
    listed = file.flag_of_layer("attention.sliding_window_pattern", layer)
    if listed is not None:
        return listed
    period = file.integer("attention.sliding_window_pattern", traits.windows.period, low=0)
    if period <= 1:
        return period == 1
    return layer % period != 0 if traits.windows.whole_first else layer % period < period - 1


def _mask(traits: Traits, windowed: bool) -> AttentionMask:
    if not traits.causal:
        return AttentionMask.BAND if windowed else AttentionMask.ALL
    return traits.windows.mask if windowed else AttentionMask.CAUSAL


def _queries_keys_values(
    file: Reader, stem: str, queries: int, keys: int, values: int, keyed: bool
) -> tuple[Projection, Projection, Projection | None]:
    """Three projections, or rows of one; without values of their own these are the projected keys."""
    if file.has(f"{stem}.attn_qkv.weight"):
        ends = (0, queries, queries + keys, queries + keys + values)
        q, k, v = (file.rows(f"{stem}.attn_qkv", a, b) for a, b in pairwise(ends))
        return q, k, v
    own_values = None if keyed and not file.has(f"{stem}.attn_v.weight") else file.projection(f"{stem}.attn_v")
    return file.projection(f"{stem}.attn_q"), file.projection(f"{stem}.attn_k"), own_values


def _query_and_gate(
    file: Reader, stem: str, query: Projection, heads: int, key_dim: int
) -> tuple[Projection, Projection | None]:
    """Queries, and the gate of the result: a projection of its own, or after each head's query in the same one."""
    if file.has(f"{stem}.attn_gate.weight"):
        return query, file.projection(f"{stem}.attn_gate")
    name = f"{stem}.attn_q.weight"
    if not file.has(name) or file.matrix(name)[0] != 2 * heads * key_dim or query.bias is not None:
        return query, None

    def part(offset: int) -> Projection:
        starts = (2 * key_dim * head + offset for head in range(heads))
        return Projection(Concat(tuple(Rows(query.weight, start, start + key_dim) for start in starts)))

    return part(0), part(key_dim)


def _head_norm(file: Reader, stem: str, heads: int, head_dim: int) -> Norm | None:
    """Norm of queries or keys: of each head (one gain for all heads, or each its own), or of the whole row."""
    name = f"{stem}.weight"
    if not file.has(name):
        return None
    shape = file.shape(name)
    if shape == (head_dim,):
        return file.norm(stem, groups=heads)
    if shape == (heads, head_dim):
        return replace(file.norm(stem, groups=heads), weight=Shaped(file.tensor(name), (heads * head_dim,)))
    return file.norm(stem)


def _rope(file: Reader, layer: int, head_dim: int, traits: Traits, windowed: bool) -> Rope | None:
    if (
        traits.rope is None
        or not file.flag("rope.scaling.finetuned", True)
        or (traits.rope_in_windows_only and not windowed and window(file, traits))
    ):
        return None
    period = file.integer("no_rope_layer_step", traits.unrotated_period, low=0)
    if period and (layer + 1) % period == 0:
        return None
    base = None
    if windowed and (traits.windows.base is not None or file.get("rope.freq_base_swa") is not None):
        base = file.number("rope.freq_base_swa", traits.windows.base, low=1e-6, high=1e12)
    plain = windowed and traits.windows.plain
    swa = windowed and file.get("rope.dimension_count_swa") is not None
    key = "rope.dimension_count_swa" if swa else "rope.dimension_count"
    return read_rope(file, head_dim, traits.rope, base=base, plain=plain, stem=f"blk.{layer}", dims_key=key)


def _temperature(file: Reader) -> Temperature | None:
    """Queries that grow with their position (`attention.temperature_scale`: Mistral's, in every layer)."""
    beta = file.number("attention.temperature_scale", 0.0, low=0, high=1e3)
    if not beta:
        return None
    period = file.integer("attention.temperature_length", file.integer("rope.scaling.original_context_length", 8192))
    return Temperature(float(period), beta)


def _latent(file: Reader, stem: str, traits: Traits) -> LatentAttention:
    """Multi-head latent attention; files hold `attn_kv_b` whole, or split and turned for the absorbed form."""
    heads = file.integer("attention.head_count", high=MAX_HEADS)
    rank = file.integer("attention.kv_lora_rank", high=MAX_HEAD_DIM)
    key = "attention.key_length_mla" if file.get("attention.key_length_mla") is not None else "attention.key_length"
    rope_dim = file.integer("rope.dimension_count", 64, low=2, high=MAX_HEAD_DIM)
    key_dim = file.integer(key, low=rope_dim + 1, high=MAX_HEAD_DIM)
    value_dim = file.integer(key.replace("key", "value"), high=MAX_HEAD_DIM)
    split = file.has(f"{stem}.attn_k_b.weight")
    direct = file.has(f"{stem}.attn_q.weight")
    rope, scale = _latent_rope(file, rope_dim, key_dim, traits.rope)
    return LatentAttention(
        heads=heads,
        rank=rank,
        nope_dim=key_dim - rope_dim,
        rope_dim=rope_dim,
        value_dim=value_dim,
        scale=scale,
        query=file.projection(f"{stem}.attn_q" if direct else f"{stem}.attn_q_b"),
        query_down=None if direct else file.projection(f"{stem}.attn_q_a"),
        query_norm=None if direct else file.norm(f"{stem}.attn_q_a_norm"),
        down=file.projection(f"{stem}.attn_kv_a_mqa"),
        norm=file.norm(f"{stem}.attn_kv_a_norm"),
        output=file.projection(f"{stem}.attn_output"),
        rope=rope,
        key_up=file.tensor(f"{stem}.attn_k_b.weight") if split else None,
        value_up=file.tensor(f"{stem}.attn_v_b.weight") if split else None,
        key_value_up=None if split else file.tensor(f"{stem}.attn_kv_b.weight"),
        temperature=_temperature(file),
    )


def _latent_rope(file: Reader, rope_dim: int, key_dim: int, style: RopeStyle | None) -> tuple[Rope | None, float]:
    """The rotation, and the scale of the scores. DeepSeek's YaRN puts its gain into the scale: the file's
    `yarn_log_multiplier` is 0.1 x mscale_all_dim, and the gain of cos and sin is 1 then."""
    scale = key_dim**-0.5
    if style is None:
        return None, scale
    rope = read_rope(file, rope_dim, style)
    multiplier = file.number("rope.scaling.yarn_log_multiplier", 0.0, low=-1e3, high=1e3)
    if not multiplier:
        return rope, scale
    factor = file.number("rope.scaling.factor", 1.0, low=1e-6)
    return replace(rope, gain=1.0), scale * (multiplier * log(factor) + 1.0) ** 2
