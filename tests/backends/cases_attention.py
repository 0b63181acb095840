"""Op cases of attention's fields: masks, sinks, soft caps, values inside keys, head sizes; rope and angles likewise.

Prompts have up to 19 rows (opcase.py), so windows of 5 are smaller and windows of 50 larger than what a row sees.
"""

from __future__ import annotations

from ostinato.backends.contract import KVType
from ostinato.gguf.types_table import TensorType
from ostinato.model.kinds_table import AttentionMask, RopeStyle
from ostinato.program.builder import Builder
from ostinato.program.ir import CacheGroup
from tests.backends.opcase import EXACT, HALF, OpCase, Weights

HEADS, KV_HEADS, KEY, VALUE = 6, 2, 24, 40
PLAIN = (KVType.F16, KVType.F32)  # of any head size


def attend_case(
    what: str, heads: int = HEADS, kv_heads: int = KV_HEADS, key: int = KEY, value: int = VALUE,
    kv_type: KVType = KVType.F32, mask: AttentionMask = AttentionMask.CAUSAL, window: int = 0, softcap: float = 0.0,
    sinks: bool = False, in_keys: bool = False,
) -> OpCase:  # fmt: skip
    """Attention of 64-wide rows; with `in_keys` the cache holds keys alone."""

    def build(b: Builder, w: Weights, x: str) -> str:
        def projected(name: str, width: int) -> str:
            return b.add("linear", x, weights=(w.normal(name, (width, 64), TensorType.F32, scale=0.3), None))

        values = None if in_keys else projected("v", kv_heads * value)
        b.add("append", projected("k", kv_heads * key), values, cache=0, index=1)
        return b.add(
            "attend", projected("q", heads * key), weights=(w.normal("sinks", (heads,), TensorType.F32, 2.0),) * sinks,
            cache=0, index=1, heads=heads, kv_heads=kv_heads, key_dim=key, value_dim=value, scale=key**-0.5, mask=mask,
            window=window, softcap=softcap,
        )  # fmt: skip

    cache = CacheGroup("full", 2, kv_heads, key, 0 if in_keys else value)
    shape = f"{heads}/{kv_heads} {key}+{value}"
    name = f"attend[{what}] {shape} {mask.name} {window} {kv_type.value}"
    return OpCase(name, 64, build, EXACT if kv_type is KVType.F32 else HALF, kv_type, (cache,))


def _rope(style: RopeStyle, heads: int, head: int, start: int, dims: int) -> OpCase:
    def build(b: Builder, _: Weights, x: str) -> str:
        return b.add("rope", x, b.add("angles", dims=dims, base=500.0), heads=heads, style=style, start=start)

    return OpCase(f"rope[start] {style.name} {heads}x{head} {start}+{dims}", heads * head, build)


def _gain(b: Builder, _: Weights, x: str) -> str:
    return b.add("rope", x, b.add("angles", dims=16, base=100.0, gain=1.3), heads=3, style=RopeStyle.NEOX)


def _temper(b: Builder, _: Weights, x: str) -> str:
    return b.add("temper", x, period=4.0, beta=0.3, offset=1.0)


ATTENTION_CASES: tuple[OpCase, ...] = (
    *(
        attend_case("mask", mask=mask, window=window, kv_type=kv_type)
        for kv_type in PLAIN
        for mask, window in (
            (AttentionMask.WINDOW, 1), (AttentionMask.WINDOW, 5), (AttentionMask.WINDOW, 50), (AttentionMask.CHUNK, 8),
            (AttentionMask.ALL, 0), (AttentionMask.BAND, 6), (AttentionMask.BAND, 90),
        )
    ),
    *(
        attend_case(what, mask=AttentionMask.WINDOW, window=7, softcap=cap, sinks=sinks)
        for what, cap, sinks in (("sinks", 0.0, True), ("softcap", 2.0, False), ("softcap+sinks", 5.0, True))
    ),
    attend_case("sinks", sinks=True),
    *(
        attend_case("mask", heads, kv_heads, key, value, KVType.Q8_0, mask, window)
        for heads, kv_heads, key, value, mask, window in (
            (16, 2, 64, 32, AttentionMask.WINDOW, 5), (3, 1, 96, 160, AttentionMask.BAND, 90),
        )
    ),
    attend_case("in-keys", 4, 1, 64, 32, KVType.Q8_0, in_keys=True),
    attend_case("latent", 8, 1, 576, 512, KVType.Q8_0, in_keys=True),
    *(attend_case("in keys".replace(" ", "-"), 4, 1, 48, 33, kv_type, in_keys=True) for kv_type in PLAIN),
    attend_case("in-keys", 6, 3, 32, 32, in_keys=True),
    *(attend_case("latent", 8, 1, 576, 512, kv_type, in_keys=True) for kv_type in PLAIN),
    attend_case("sinks", 37, 1, 16, 8, sinks=True),
    *(attend_case("heads", 4, 2, size, size, kv_type) for kv_type in PLAIN for size in (80, 96)),
    *(attend_case("large", 2, 1, 512, 512, kv_type) for kv_type in PLAIN),
    _rope(RopeStyle.NORM, 3, 24, 8, 16),
    _rope(RopeStyle.NEOX, 2, 50, 3, 20),
    OpCase("angles[gain] 16", 72, _gain),
    OpCase("temper 40", 40, _temper),
)  # fmt: skip
