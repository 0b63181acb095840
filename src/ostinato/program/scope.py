"""What the parts of a model share while they are compiled: the builder, the rotations, and where state lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ostinato.model.spec import Norm, Projection, Rope
from ostinato.model.weights import StoredTensor, WeightExpr, resolve
from ostinato.program.builder import Builder
from ostinato.program.ir import CacheGroup, StateGroup
from ostinato.program.ops_table import ShapeError


@dataclass
class Scope:
    """Passed to every function that compiles a part."""

    builder: Builder
    tensors: Mapping[str, StoredTensor]
    context: int  # positions that will be served
    per_layer: str = ""  # [T, layers x width] per-layer inputs
    _angles: dict[tuple[Rope, bool], str] = field(default_factory=dict)
    _written: dict[int, tuple[int, int]] = field(default_factory=dict)  # layer -> its place in a cache group
    _norms: dict[tuple[str, Norm], str] = field(default_factory=dict)

    def shape(self, expr: WeightExpr) -> tuple[int, ...]:
        """Logical shape of a weight."""
        return resolve(expr, self.tensors).dims

    def linear(self, projection: Projection, x: str) -> str:
        return self.builder.add("linear", x, weights=(projection.weight, projection.bias))

    def norm(self, norm: Norm | None, x: str) -> str:
        """x itself without a norm; a value is normed alike only once."""
        if norm is None:
            return x
        if (x, norm) not in self._norms:
            op, bias = ("layer_norm", (norm.bias,)) if norm.centred else ("rms_norm", ())
            weights = (norm.weight, *bias)
            self._norms[x, norm] = self.builder.add(op, x, weights=weights, eps=norm.eps, groups=norm.groups)
        return self._norms[x, norm]

    def scaled(self, x: str, factor: float, cap: float = 0.0) -> str:
        return x if factor == 1.0 and not cap else self.builder.add("scale", x, factor=factor, cap=cap)

    def rope(self, rope: Rope, x: str, heads: int, start: int = 0) -> str:
        return self.builder.add("rope", x, self.angles(rope), heads=heads, style=rope.style, start=start)

    def angles(self, rope: Rope) -> str:
        """The rotations of each row, computed once and shared by all layers that turn alike."""
        long = rope.long_factors is not None and self.context > rope.original_context
        if (rope, long) not in self._angles:
            factors = rope.long_factors if long else rope.factors
            self._angles[rope, long] = self.builder.add(
                "angles", weights=(factors,), dims=rope.dims, base=rope.base, scale=rope.scale, gain=rope.gain
            )
        return self._angles[rope, long]

    def new_cache_layer(self, kv_heads: int, key_dim: int, value_dim: int) -> tuple[int, int]:
        """(cache group, index in it) for keys and values that this layer writes; layers of one shape share a group."""
        caches = self.builder.caches
        shape = (kv_heads, key_dim, value_dim)
        group = next((i for i, c in enumerate(caches) if (c.kv_heads, c.key_dim, c.value_dim) == shape), len(caches))
        if group == len(caches):
            caches.append(CacheGroup("full" if group == 0 else f"full{group + 1}", 0, *shape))
        old = caches[group]
        caches[group] = CacheGroup(old.name, old.layers + 1, *shape)
        self._written[self.builder.layer] = (group, old.layers)
        return group, old.layers

    def cache_layer(self, layer: int) -> tuple[int, int]:
        """Where an earlier layer wrote its keys and values. Raises ShapeError where it wrote none."""
        if layer not in self._written:
            raise ShapeError(f"layer {self.builder.layer} reads the keys and values of layer {layer}, which has none")
        return self._written[layer]

    def new_state(self, elements: int) -> tuple[int, int]:
        """(state group, index in it) for `elements` of recurrent state."""
        states = self.builder.states
        group = next((i for i, s in enumerate(states) if s.elements == elements), len(states))
        if group == len(states):
            states.append(StateGroup(f"state{group + 1}", 0, elements))
        old = states[group]
        states[group] = StateGroup(old.name, old.layers + 1, elements)
        return group, old.layers
