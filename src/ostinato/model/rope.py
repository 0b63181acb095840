"""Rotary position embeddings as files describe them: plain, linear, YaRN, per-dimension factors, long-rope.

Every scaling becomes divisors per dimension and a gain, which is all that the op `angles` knows.
"""

from __future__ import annotations

from math import ceil, floor, log, pi

from ostinato.model.kinds_table import RopeStyle
from ostinato.model.reader import ModelError, Reader
from ostinato.model.spec import Rope
from ostinato.model.weights import Constant, WeightExpr

SCALINGS = ("none", "linear", "yarn", "longrope")


def read_rope(
    file: Reader, head_dim: int, style: RopeStyle, *, base: float | None = None, plain: bool = False, stem: str = "",
    dims_key: str = "rope.dimension_count",
) -> Rope:  # fmt: skip
    """The rotation of heads of `head_dim` elements. `base` replaces the file's, and `plain` leaves its scaling out
    (layers with a window); `stem` is where some files keep a layer's own factors."""
    scaling = "none" if plain else file.choice("rope.scaling.type", SCALINGS)
    dims = file.integer(dims_key, head_dim, low=2, high=head_dim)
    base = file.number("rope.freq_base", 10000.0, low=1e-6, high=1e12) if base is None else base
    factor = file.number("rope.scaling.factor", 1.0, low=1e-6) if scaling in ("linear", "yarn") else 1.0
    gain = 1.0 if plain else file.number("rope.scaling.attn_factor", 1.0, low=1e-6, high=1e3)
    factors = None if plain else _factors(file, stem, "rope_freqs.weight")
    if scaling == "yarn" and factor != 1.0:
        if not base > 1.0:
            raise ModelError(f"YaRN scaling needs a base of the rotation above 1, found {base}")
        if factors is not None:
            raise ModelError("the file has both YaRN scaling and per-dimension factors; only one of them is supported")
        divisors, yarn_gain = _yarn(file, dims, base, factor)
        return Rope(dims, base, style, factors=divisors, gain=gain * yarn_gain)
    long, short = (None if plain else _factors(file, stem, f"rope_factors_{kind}.weight") for kind in ("long", "short"))
    if long is not None and short is not None:
        original = file.integer("rope.scaling.original_context_length", file.integer("context_length"))
        return Rope(dims, base, style, factors=short, gain=gain, long_factors=long, original_context=original)
    return Rope(dims, base, style, scale=1.0 / factor if scaling == "linear" else 1.0, factors=factors, gain=gain)


def _factors(file: Reader, stem: str, name: str) -> WeightExpr | None:
    return file.optional(f"{stem}.{name}") if stem and file.has(f"{stem}.{name}") else file.optional(name)


def _yarn(file: Reader, dims: int, base: float, factor: float) -> tuple[Constant, float]:
    """(divisors per dimension, gain) of YaRN (Peng et al. 2023): low frequencies are interpolated, high ones kept,
    those between mixed along a ramp, as `rope_yarn` of ggml does it."""
    original = file.integer("rope.scaling.original_context_length", file.integer("context_length"))
    fast = file.number("rope.scaling.yarn_beta_fast", 32.0, low=1e-6)
    slow = file.number("rope.scaling.yarn_beta_slow", 1.0, low=1e-6)
    kept = file.number("rope.scaling.yarn_ext_factor", 1.0, low=0, high=1)

    def dimension(turns: float) -> float:
        return dims * log(original / (turns * 2 * pi)) / (2 * log(base))

    low, high = max(0, floor(dimension(fast))), min(dims - 1, ceil(dimension(slow)))
    ramps = (min(1.0, max(0.0, (i - low) / max(0.001, high - low))) for i in range(dims // 2))
    mixes = ((1 - ramp) * kept for ramp in ramps)
    return Constant(tuple(1.0 / ((1 - mix) / factor + mix) for mix in mixes)), _yarn_gain(file, factor)


def _yarn_gain(file: Reader, factor: float) -> float:
    """What cos and sin are multiplied with: 0.1 ln(factor) + 1 or what the file says, over the same with
    `yarn_log_multiplier` (`mscale_all_dim` of the model's configuration)."""
    stated = file.number("rope.scaling.yarn_attn_factor", 0.0, low=0, high=1e3)
    multiplier = 0.0 if stated else file.number("rope.scaling.yarn_log_multiplier", 0.0, low=-1e3, high=1e3)
    gain, divisor = 0.1 * log(factor) + 1.0, 0.1 * multiplier * log(factor) + 1.0
    if not min(gain, divisor) > 0:
        raise ModelError(f"YaRN scaling by {factor} with 'yarn_log_multiplier' {multiplier} gives cos and sin no gain")
    return (stated or 1.0) * gain / divisor
