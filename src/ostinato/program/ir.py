"""Programs: flat, printable lists of instructions over named values, and the state they declare.

A program is data. Passes are functions Program -> Program; backends compile it; nothing here computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from ostinato.model.weights import WeightExpr
from ostinato.program.ops_table import BY_NAME, Op, Shape


@dataclass(frozen=True)
class CacheGroup:
    """Keys and values of the layers that share one block table. Paged: a block holds `block_size` positions of
    all layers of the group. KV beyond a sequence's committed length is garbage, so it can be rolled back."""

    name: str
    layers: int
    kv_heads: int
    key_dim: int  # elements of a key head
    value_dim: int  # elements of a value head; 0: values are the first elements of the keys

    @property
    def key_width(self) -> int:
        return self.kv_heads * self.key_dim

    @property
    def value_width(self) -> int:
        return self.kv_heads * self.value_dim

    def elements(self, positions: int) -> int:
        """Elements of so many positions of every layer's keys and values."""
        return self.layers * positions * (self.key_width + self.value_width)


@dataclass(frozen=True)
class StateGroup:
    """Recurrent state of equal layers: `elements` float32 a layer and sequence, in the sequence's slot. Zero before
    position 0; it cannot be rolled back, so a sequence that has lost it is computed again from its first token."""

    name: str
    layers: int
    elements: int

    @property
    def slot_bytes(self) -> int:
        """Bytes of one sequence's state."""
        return 4 * self.layers * self.elements


@dataclass(frozen=True)
class Instruction:
    """One op applied. Absent optional operands are None; `layer` is -1 outside the layers."""

    op: str
    outputs: tuple[str, ...]
    inputs: tuple[str | None, ...] = ()
    weights: tuple[WeightExpr | None, ...] = ()
    fields: Mapping[str, int | float] = field(default_factory=dict)
    layer: int = -1

    @property
    def spec(self) -> Op:
        return BY_NAME[self.op]


@dataclass(frozen=True)
class Program:
    """A verified list of instructions: values (name -> shape), state, named outputs (name -> value)."""

    name: str
    instructions: tuple[Instruction, ...]
    values: Mapping[str, Shape]
    caches: tuple[CacheGroup, ...]
    outputs: Mapping[str, str]
    vocab_size: int
    states: tuple[StateGroup, ...] = ()


@dataclass(frozen=True)
class Programs:
    """The programs of one model; they share the declared state. `prefill` runs every step that holds a prompt
    row, `decode` the others (they may be the same object)."""

    prefill: Program
    decode: Program

    @property
    def caches(self) -> tuple[CacheGroup, ...]:
        return self.prefill.caches

    @property
    def states(self) -> tuple[StateGroup, ...]:
        return self.prefill.states

    @property
    def recurrent(self) -> bool:
        """Whether sequences have state that cannot be rolled back, shared or taken over."""
        return bool(self.states)

    @property
    def embeds(self) -> bool:
        """Whether this is an encoder: whole texts in one step, embeddings instead of logits, nothing to generate."""
        return "embedding" in self.prefill.outputs

    @property
    def vocab_size(self) -> int:
        return self.prefill.vocab_size

    def rewritten(self, rewrite: Callable[[Program], Program]) -> Programs:
        """Every program rewritten; those that are one stay one."""
        prefill = rewrite(self.prefill)
        return Programs(prefill, prefill if self.decode is self.prefill else rewrite(self.decode))

    def __iter__(self) -> Iterator[Program]:
        yield self.prefill
        if self.decode is not self.prefill:
            yield self.decode
