"""How many workgroups a call gets. Shaders loop over their items: any number computes the same, at another speed.

0 where a step has nothing for the call to do: it is not recorded then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ostinato.backends.batch import Batch
from ostinato.backends.device.lower import Call
from ostinato.backends.device.state_table import ATTEND_SPLIT
from ostinato.program.ops_table import Axis

_LANES = 256  # invocations of most workgroups
_PACKED = 256  # columns that a workgroup packs
_TILE_ROWS = 32  # activation rows that a workgroup multiplies


@dataclass(frozen=True)
class StepSize:
    """Rows of a step, as far as the work depends on them."""

    rows: int  # T
    prompt_rows: int
    logit_rows: int  # R
    draws: int
    divided: int  # generated rows whose attention is split
    splits: int  # of the longest of them


def step_size(batch: Batch, lengths: Iterable[int], max_sequences: int) -> StepSize:
    """`lengths`: of its slots, before its last step."""
    generated = batch.rows - batch.prompt_rows
    longest = max(lengths, default=0) + batch.steps
    return StepSize(
        rows=batch.rows,
        prompt_rows=batch.prompt_rows,
        logit_rows=batch.logit_rows,
        draws=sum(span.sample for span in batch.spans),
        divided=generated if generated <= max_sequences else 0,
        splits=-(-longest // ATTEND_SPLIT),
    )


def workgroups(call: Call, size: StepSize, most: int) -> int:
    """At most `most`, the limit of a dispatch."""
    return min(_ITEMS[call.phase](_Work(call, size)), most)


@dataclass(frozen=True)
class _Work:
    call: Call
    size: StepSize

    def __getitem__(self, word: str) -> int:
        return int(self.call.words[word])

    @property
    def rows(self) -> int:
        """Of a value of shape (axis, factor)."""
        return self["factor"] * (self.size.logit_rows if self["axis"] == Axis.R else self.size.rows)

    def elements(self, count: int) -> int:
        """Workgroups for so many invocations."""
        return -(-count // _LANES)

    def tiles(self, weight_rows: int) -> int:
        """Workgroups that share weight rows of k columns: 4 each, more where rows are short (tiles.wgsl)."""
        side_by_side = min(max(1 << max(self["k"] // 32 - 1, 0).bit_length(), 16), 64)
        return -(-weight_rows // (256 // side_by_side))


def _one(_: _Work) -> int:
    return 1


def _per_element(w: _Work) -> int:
    return w.elements(w.rows * w["width"])


def _per_row_element(w: _Work) -> int:
    return w.elements(w.size.rows * w["width"])


def _linear(w: _Work) -> int:
    return w.tiles(w["n"]) * -(-w.rows // _TILE_ROWS)


def _experts(w: _Work) -> int:
    return 2 * w["count"] * w.tiles(w["n"]) if w.rows else 0


# By phase, the number of workgroups that have an item each.
_ITEMS: Mapping[str, Callable[[_Work], int]] = {
    "begin": _one,
    "rows": _one,
    "finish": _one,
    "embed": _per_row_element,
    "angles": lambda w: w.elements(w.size.rows * w["dims"]),
    "rms_norm": lambda w: w.rows * w["groups"],
    "pack": lambda w: w.rows * -(-w["width"] // _PACKED),
    "linear": _linear,
    "rope": _per_row_element,
    "append": lambda w: w.elements(w.size.rows * w["kv_heads"] * (w["key_dim"] + w["value_dim"]) // 2),
    "attend": lambda w: (w.size.rows - w.size.divided) * w["heads"],
    "attend_split": lambda w: w.size.divided * w["heads"] * w.size.splits,
    "attend_merge": lambda w: w.elements(w.size.divided * w["heads"] * w["value_dim"]),
    "glu": _per_element,
    "add": _per_element,
    "select": lambda w: w.elements(w.size.logit_rows * w["width"]),
    "route": lambda w: w.rows,
    "group": lambda w: 2 * w["experts"],
    "experts_in": _experts,
    "experts_out": _experts,
    "combine": _per_element,
    "sample": lambda w: max(w.size.draws, 1),
}
