"""The one table of phases: what a device does between two barriers.

An op becomes one or several phases (device/lower.py). Work within a phase is independent, so any number of
workgroups may share it; between phases stands a barrier: the next dispatch, the next node of a graph, or a grid
barrier in a persistent kernel. Each phase is one WGSL shader and one CUDA C++ function.

A phase is called with 32-bit words. *Places* differ from call to call: where in the arena operands lie (in words),
the layer of a cache, which part of a weight. *Shapes* are the same for many calls: pipeline constants in WGSL. A weight
that no binding holds whole is called in parts (embed: `count` tokens from `first` on; linear: `n` rows; experts:
`count` of them), which differ in places alone. Rows of a value are
`factor` x T (axis T) or x R, read from StepState: no phase is told a number of rows. Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Phase:
    """One row of the table. A shape that ends in `:f` is a float32; weights are packed rows in planes (planes.py)."""

    name: str
    places: tuple[str, ...]
    shapes: tuple[str, ...]
    weights: tuple[str, ...]
    doc: str
    state: str = ""  # what it touches besides arena and weights: "kv", "packet", "result"

    @property
    def words(self) -> tuple[str, ...]:
        """Words of a Call in order: places, shapes, weights (index in the weight table, or -1)."""
        return self.places + self.shapes + self.weights


_ROWS = ("axis", "factor")
_HEADS = ("cache", "kv_heads", "key_dim", "value_dim", "half")
_ATTEND = ("cache", "heads", "kv_heads", "key_dim", "value_dim", "half", "scale:f")

PHASES: tuple[Phase, ...] = (
    Phase("begin", (), (), (), "Takes the packet into StepState: enters, block tables, known tokens; step = 0, none "
          "has stopped.", "packet"),
    Phase("rows", (), (), (),
          "Step, row_slot, row_position, row_token, logit_row, Draw from the packet's spans and "
          "the slots. Rows of a stopped slot are INACTIVE (token 0, slot kept).", "packet"),
    Phase("finish", (), (), (),
          "Slots advance by their rows; a slot stops after a stop token, NO_NUMBER, at its limit, "
          "or where its next position has no block; step += 1; counts `running`.", "packet result"),
    Phase("embed", ("out", "first", "count"), ("width", "table_type"), ("table",),
          "out[row] = table[token - first] where first <= token < first + count; other rows are left alone."),
    Phase("angles", ("out",), ("dims", "base:f", "scale:f", "has_factors"), ("factors",),
          "cos and sin of position x scale x base^(-2i/dims) / factors[i], interleaved. INACTIVE counts as 0."),
    Phase("rms_norm", ("out", "x"), ("width", "groups", "eps:f", *_ROWS), ("gain",), "As the op."),
    Phase("pack", ("out", "x"), ("width", "group", *_ROWS), (),
          "Rows quantised to int8 as sums.md says: words [width/4 of four int8 | width/32 of two int16 sums over 16, "
          "lower first | width/group float32 scales], padded to packed_words. Group 256 or 32."),
    Phase("linear", ("out", "x", "first", "n"), ("k", "weight_type", "stride", "has_bias", *_ROWS),
          ("weight", "bias"),
          "out[row x stride + i] = weight[i] . x[row] + bias[first + i], i < n; x packed for quantised types, else "
          "floats."),
    Phase("rope", ("out", "x", "angles"), ("width", "heads", "dims", "style"), (), "As the op; out may be x."),
    Phase("append", ("k", "v", "index"), _HEADS, (), "As the op. INACTIVE rows write nothing.", "kv"),
    Phase("attend", ("out", "q", "index"), _ATTEND, (),
          "As the op, splits of ATTEND_SPLIT positions in order. Leaves generated rows to attend_split where there "
          "are no more of them than max_sequences. INACTIVE rows: zeros.", "kv"),
    Phase("attend_split", ("partials", "q", "index"), _ATTEND, (),
          "partials[generated row, head, split] = maximum, sum, weighted values; if generated rows <= max_sequences.",
          "kv"),
    Phase("attend_merge", ("out", "partials"), _ATTEND, (), "Merges a row's splits in order, as attend does."),
    Phase("glu", ("out", "gate", "up"), ("width", "act", *_ROWS), (), "As the op."),
    Phase("add", ("out", "a", "b"), ("width", *_ROWS), (), "As the op."),
    Phase("select", ("out", "x"), ("width",), (), "As the op."),
    Phase("route", ("ids", "weights", "logits"), ("experts", "top_k", "scoring", "normalise", "scale:f", *_ROWS), (),
          "As the op, from router logits."),
    Phase("group", ("order", "offsets", "ids", "uses"), ("experts", "top_k", *_ROWS), (),
          "As the op. uses: number of its expert 0 among all layers' experts, where a device counts assignments."),
    Phase("experts_in", ("out", "gate_x", "up_x", "order", "offsets", "first", "count"),
          ("experts", "n", "k", "gate_type", "up_type", "act", "top_k", *_ROWS), ("gate", "up"),
          "out[s, n] = act(gate_e . x[order[s] / top_k]) x (up_e . x), s in the order of (kind, expert), for experts "
          "e with first <= e < first + count; x packed for gate's and for up's type. Rows count x, not s."),
    Phase("experts_out", ("out", "x", "order", "offsets", "first", "count"),
          ("experts", "n", "k", "down_type", "top_k", *_ROWS), ("down",),
          "out[order[s], n] = down_e . x[s]. Rows count tokens, not s."),
    Phase("combine", ("out", "e", "weights"), ("width", "top_k", *_ROWS), (), "As the op."),
    Phase("sample", ("tokens", "logits", "scores", "counts"), ("vocab",), (),
          "As the op: for every Draw, token into history, and Drawn and Best at [step, draw] of the result. scores and "
          "counts are scratch [max_sequences, vocab].", "packet result"),
)  # fmt: skip

BY_NAME: Mapping[str, Phase] = {phase.name: phase for phase in PHASES}
CODE: Mapping[str, int] = {phase.name: code for code, phase in enumerate(PHASES)}


def packed_words(width: int, group: int) -> int:
    """Words of a row that `pack` made: a multiple of four, so that quants can be read 16 bytes at a time."""
    return -(-(width // 4 + width // 32 + width // group) // 4) * 4
