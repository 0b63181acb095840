"""ModelSpec -> Programs: what a model computes, written down as instructions.

Nothing here knows an architecture by name, a quantisation type, a device or a degree of parallelism.
"""

from __future__ import annotations

from collections.abc import Mapping

from ostinato.model.spec import Attention, Dense, Experts, Layer, ModelSpec, Projection, Rope
from ostinato.program.ir import CacheGroup, Instruction, Program, Programs
from ostinato.program.ops_table import Operands, Shape
from ostinato.program.verify import verify
from ostinato.program.weights import StoredTensor, WeightExpr, resolve


def compile_model(spec: ModelSpec, tensors: Mapping[str, StoredTensor]) -> Programs:
    """The programs of a model, verified against the file's tensors. Raises VerifyError or WeightError."""
    builder = _Builder(tensors)
    _caches(builder, spec)
    x = builder.add("embed", weights=(spec.embedding,))
    for index, layer in enumerate(spec.layers):
        builder.layer = index
        x = _layer(builder, layer, x, spec.norm_eps)
    builder.layer = -1
    x = builder.add("select", x)
    x = builder.add("rms_norm", x, weights=(spec.output_norm,), eps=spec.norm_eps)
    logits = builder.add("linear", x, weights=(spec.output, None))
    builder.add("sample", logits)
    program = builder.program("step", {"logits": logits}, spec.vocab_size)
    verify(program, tensors)
    return Programs(prefill=program, decode=program)


def _caches(builder: _Builder, spec: ModelSpec) -> None:
    """One cache group per name; its layers share a block table and must agree in shape."""
    by_name: dict[str, list[Attention]] = {}
    for layer in spec.layers:
        by_name.setdefault(layer.attention.cache, []).append(layer.attention)
    for name, members in by_name.items():
        first = members[0]
        builder.caches.append(CacheGroup(name, len(members), first.kv_heads, first.key_dim, first.value_dim))


def _layer(b: _Builder, layer: Layer, x: str, eps: float) -> str:
    h = b.add("rms_norm", x, weights=(layer.attention_norm,), eps=eps)
    x = b.add("add", x, _attention(b, layer.attention, h, eps))
    h = b.add("rms_norm", x, weights=(layer.ffn_norm,), eps=eps)
    ffn = _experts(b, layer.ffn, h) if isinstance(layer.ffn, Experts) else _dense(b, layer.ffn, h)
    return b.add("add", x, ffn)


def _attention(b: _Builder, a: Attention, h: str, eps: float) -> str:
    q, k, v = (_linear(b, p, h) for p in (a.query, a.key, a.value))
    if a.query_norm is not None:
        q = b.add("rms_norm", q, weights=(a.query_norm,), eps=eps, groups=a.heads)
    if a.key_norm is not None:
        k = b.add("rms_norm", k, weights=(a.key_norm,), eps=eps, groups=a.kv_heads)
    if a.rope is not None:
        angles = b.angles(a.rope)
        q = b.add("rope", q, angles, heads=a.heads, style=a.rope.style)
        k = b.add("rope", k, angles, heads=a.kv_heads, style=a.rope.style)
    cache, index = b.next_layer_of(a.cache)
    b.add("append", k, v, cache=cache, index=index)
    out = b.add(
        "attend", q, cache=cache, index=index, heads=a.heads, kv_heads=a.kv_heads, key_dim=a.key_dim,
        value_dim=a.value_dim, scale=a.scale,
    )  # fmt: skip
    return _linear(b, a.output, out)


def _dense(b: _Builder, ffn: Dense, h: str) -> str:
    gate, up = _linear(b, ffn.gate, h), _linear(b, ffn.up, h)
    return _linear(b, ffn.down, b.add("glu", gate, up, act=ffn.act))


def _experts(b: _Builder, ffn: Experts, h: str) -> str:
    ids, weights = b.add_many(
        "route", h, weights=(ffn.router,), top_k=ffn.used, scoring=ffn.scoring, normalise=int(ffn.normalise),
        scale=ffn.scale,
    )  # fmt: skip
    order, offsets = b.add_many("group", ids, experts=ffn.count)
    out = b.add("experts", h, order, offsets, weights=(ffn.gate, ffn.up, ffn.down), act=ffn.act)
    return b.add("combine", out, weights)


def _linear(b: _Builder, p: Projection, x: str) -> str:
    return b.add("linear", x, weights=(p.weight, p.bias))


class _Builder:
    """Appends instructions, names their values and works out shapes by the table's rules."""

    def __init__(self, tensors: Mapping[str, StoredTensor]) -> None:
        self.layer = -1
        self.caches: list[CacheGroup] = []
        self._tensors = tensors
        self._instructions: list[Instruction] = []
        self._values: dict[str, Shape] = {}
        self._angles: dict[Rope, str] = {}
        self._used: dict[str, int] = {}

    def add(self, op: str, *inputs: str, weights: tuple[WeightExpr | None, ...] = (), **fields: float) -> str:
        """Appends an instruction of at most one output and returns its name ("" for none)."""
        return next(iter(self.add_many(op, *inputs, weights=weights, **fields)), "")

    def add_many(
        self, op: str, *inputs: str, weights: tuple[WeightExpr | None, ...] = (), **fields: float
    ) -> tuple[str, ...]:
        draft = Instruction(op, (), inputs, weights, fields, self.layer)
        given = {f.name: fields.get(f.name, f.default) for f in draft.spec.fields}
        missing = [name for name, value in given.items() if value is None]
        if missing or set(fields) - set(given):
            raise TypeError(f"{op}: fields missing {missing}, unknown {sorted(set(fields) - set(given))}")
        known = {name: value for name, value in given.items() if value is not None}
        operands = Operands(
            tuple(self._values[name] for name in inputs),
            tuple(None if w is None else resolve(w, self._tensors).shape for w in weights),
            known,
        )
        shapes = draft.spec.shape(operands)
        start = len(self._values)
        outputs = tuple(f"%{start + i}" for i in range(len(shapes)))
        self._values.update(zip(outputs, shapes, strict=True))
        self._instructions.append(Instruction(op, outputs, inputs, weights, known, self.layer))
        return outputs

    def angles(self, rope: Rope) -> str:
        """The rotation of each row, computed once and shared by all layers that turn alike."""
        if rope not in self._angles:
            layer, self.layer = self.layer, -1
            self._angles[rope] = self.add(
                "angles", weights=(rope.factors,), dims=rope.dims, base=rope.base, scale=rope.scale
            )
            self.layer = layer
        return self._angles[rope]

    def next_layer_of(self, cache: str) -> tuple[int, int]:
        """(index of the cache group, next unused layer in it)."""
        group = next(i for i, c in enumerate(self.caches) if c.name == cache)
        index = self._used.get(cache, 0)
        self._used[cache] = index + 1
        return group, index

    def program(self, name: str, outputs: Mapping[str, str], vocab_size: int) -> Program:
        return Program(
            name, tuple(self._instructions), dict(self._values), tuple(self.caches), dict(outputs), vocab_size
        )
