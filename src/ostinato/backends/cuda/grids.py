"""How many blocks a phase is launched on: as many warps as it has pieces of work, within what the card holds.

Only speed depends on it: a phase gives the same bits on any grid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ostinato.backends.cuda.driver import Card
from ostinato.backends.cuda.machine import WARPS
from ostinato.backends.device.lower import Call
from ostinato.backends.device.state_table import ATTEND_SPLIT
from ostinato.program.ops_table import Axis

BLOCKS_PER_MULTIPROCESSOR = 4  # of 8 warps each: half of what the smallest cards of the list can hold
_ELEMENTS_PER_WARP = 256


@dataclass(frozen=True)
class Extent:
    """The sizes that a grid depends on: T, R, the spans, and the most positions that a row attends to."""

    rows: int
    logit_rows: int
    spans: int
    context: int


def blocks(call: Call, extent: Extent, card: Card) -> int:
    """Blocks for a call in a step of this extent; at least one."""
    wanted = -(-_WARPS[call.phase](call.words, extent) // WARPS)
    return max(1, min(wanted, card.multiprocessors * BLOCKS_PER_MULTIPROCESSOR))


_Words = Mapping[str, int | float]


def _one(words: _Words, extent: Extent) -> int:
    return 1


def _spans(words: _Words, extent: Extent) -> int:
    return extent.spans


def _rows(words: _Words, extent: Extent) -> int:
    """Of the value that the call works on."""
    axis = words.get("axis", Axis.T)
    return int(words.get("factor", 1)) * {Axis.T: extent.rows, Axis.R: extent.logit_rows}.get(Axis(int(axis)), 1)


def _elements(words: _Words, extent: Extent) -> int:
    return _rows(words, extent) * -(-int(words["width"]) // _ELEMENTS_PER_WARP)


def _selected(words: _Words, extent: Extent) -> int:
    return extent.logit_rows * -(-int(words["width"]) // _ELEMENTS_PER_WARP)


def _groups(words: _Words, extent: Extent) -> int:
    return _rows(words, extent) * int(words["groups"])


def _angles(words: _Words, extent: Extent) -> int:
    return extent.rows * -(-int(words["dims"]) // _ELEMENTS_PER_WARP)


def _heads(words: _Words, extent: Extent) -> int:
    return extent.rows * int(words["heads"])


def _kv_heads(words: _Words, extent: Extent) -> int:
    return extent.rows * int(words["kv_heads"])


def _splits(words: _Words, extent: Extent) -> int:
    return _heads(words, extent) * -(-extent.context // ATTEND_SPLIT)


def _weight_rows(words: _Words, extent: Extent) -> int:
    return int(words["n"])


def _experts(words: _Words, extent: Extent) -> int:
    used = min(_rows(words, extent) * int(words["top_k"]), int(words["count"]))
    return used * int(words["n"])


def _buckets(words: _Words, extent: Extent) -> int:
    return 2 * int(words["experts"])


def _vocabulary(words: _Words, extent: Extent) -> int:
    return extent.spans * WARPS


_WARPS: Mapping[str, Callable[[_Words, Extent], int]] = {
    "begin": _one, "rows": _spans, "finish": _one, "embed": _elements, "angles": _angles, "rms_norm": _groups,
    "pack": _elements, "linear": _weight_rows, "rope": _elements, "append": _kv_heads, "attend": _heads,
    "attend_split": _splits, "attend_merge": _heads, "glu": _elements, "add": _elements, "select": _selected,
    "route": _rows, "group": _buckets, "experts_in": _experts, "experts_out": _experts, "combine": _elements,
    "sample": _vocabulary,
}  # fmt: skip
