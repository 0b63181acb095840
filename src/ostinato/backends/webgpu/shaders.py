"""Shaders, put together: WGSL text for a call, from the tables, the prelude and the files in shaders/.

A shader uses what other files define (`_NEEDS`). Weights are read through functions of their block format, one file
each in shaders/blocks: for an operand `gate` of type Q4_K, `chunk_q4_k` is there as `gate_chunk`, reading `gate`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path

from ostinato.backends.device.lower import Call
from ostinato.backends.device.phases_table import BY_NAME, Phase
from ostinato.backends.emit import wgsl_call, wgsl_records

_FOLDER = Path(__file__).with_name("shaders")
_FIRST_WEIGHT = 3  # binding of a phase's first weight

# What a file takes from others.
_NEEDS: Mapping[str, tuple[str, ...]] = {
    "append": ("half", "kv"),
    "attend": ("divided", "split"),
    "attend_merge": ("divided", "partials", "softmax"),
    "attend_split": ("divided", "partials", "split"),
    "begin": ("packet", "slots", "stop"),
    "finish": ("packet", "slots", "stop"),
    "group": ("scan",),
    "keep": ("math", "order", "tree"),
    "kv": ("slots",),
    "order": (),
    "penalise": ("order", "slots"),
    "report": ("math", "order", "tree"),
    "route": ("math", "order", "tree"),
    "rows": ("packet", "scan", "slots"),
    "sample": ("keep", "math", "order", "penalise", "philox", "report", "slots"),
    "softmax": ("math", "tree"),
    "split": ("kv", "softmax", "tree"),
    "stop": ("slots",),
}


def assemble(call: Call, features: Collection[str]) -> str:
    """The shader of `call` on an adapter with `features` (names of adapter.FEATURES). Equal for equal phases and
    shapes."""
    phase = BY_NAME[call.phase]
    parts = ["\n".join((*wgsl_records(), *wgsl_call(phase), *_weights(phase))), _read("prelude")]
    if "axis" in phase.shapes:
        parts.append(_read("counts"))
    parts += [_part(name, features) for name in _in_order(phase.name)]
    return "\n".join(parts)


def _weights(phase: Phase) -> Iterator[str]:
    for index, name in enumerate(phase.weights):
        yield f"@group(0) @binding({_FIRST_WEIGHT + index}) var<storage, read> {name}: array<f32>;"


def _in_order(name: str) -> list[str]:
    """A file and all that it needs, what is needed first."""
    found: dict[str, None] = {}
    for needed in _NEEDS.get(name, ()):
        found |= dict.fromkeys(_in_order(needed))
    return [*found, name]


def _part(name: str, features: Collection[str]) -> str:
    return _read(name)


@cache
def _read(name: str) -> str:
    return (_FOLDER / f"{name}.wgsl").read_text(encoding="utf-8")
