"""Which tensor gets which type, by its name, its shape and its place in the model: the rules of llama.cpp's
`llama-quantize` (llama_tensor_get_type in src/llama-quant.cpp), for all mixes that need no importance matrix.

Errors in some tensors cost more than in others: attention values and the feed-forward's way down get more bits in the
_M and _L mixes, the output matrix nearly always.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from ostinato.gguf.reader import Tensor
from ostinato.gguf.types_table import TensorType
from ostinato.quantize.mixes import PLAIN, Mix

# Matrices that stay as they are, by a part of their name: small, or read in other ways than matrices are.
_KEPT = (
    "_norm.weight", "ffn_gate_inp.weight", "ffn_gate_tid2eid.weight", "altup", "laurel", "per_layer_model_proj",
    "ssm_conv1d", "shortconv.conv.weight", "indexer.k_proj.weight", "indexer.q_proj.weight", "attn_rel_b.weight",
    "time_mix_first.weight", "time_mix_w0.weight", "time_mix_w1.weight", "time_mix_w2.weight", "time_mix_v0.weight",
    "time_mix_v1.weight", "time_mix_v2.weight", "time_mix_a0.weight", "time_mix_a1.weight", "time_mix_a2.weight",
    "time_mix_g1.weight", "time_mix_g2.weight", "time_mix_decay_w1.weight", "time_mix_decay_w2.weight",
    "time_mix_lerp_fused.weight", ".position_embd", "sam.pos_embd", "sam.neck.", "sam.net_", ".rel_pos",
    ".patch_embd", ".patch_merger", "a.rvq.codebook", "mm.a.code_embd",
)  # fmt: skip
_KEPT_NAMES = ("position_embd.weight", "token_types.weight")
_NOT_WEIGHTS = frozenset({TensorType.I8, TensorType.I16, TensorType.I32, TensorType.I64, TensorType.F64})

# What a row that does not hold whole blocks gets instead; F16 where that does not fit either.
_SMALLER_BLOCKS = {
    TensorType.Q2_K: TensorType.Q4_0,
    TensorType.Q3_K: TensorType.Q4_0,
    TensorType.Q4_K: TensorType.Q5_0,
    TensorType.Q5_K: TensorType.Q5_1,
    TensorType.Q6_K: TensorType.Q8_0,
    TensorType.IQ4_XS: TensorType.IQ4_NL,
}


class Role(Enum):
    """What a matrix does, as far as the rules care."""

    OUTPUT = auto()
    EMBEDDING = auto()
    ATTENTION_VALUE = auto()  # and what contains it: attn_qkv, attn_kv_b
    ATTENTION_KEY = auto()
    ATTENTION_OUTPUT = auto()
    FEED_FORWARD_DOWN = auto()
    OTHER = auto()


_ROLES = (
    ("attn_qkv.weight", Role.ATTENTION_VALUE),
    ("attn_kv_b.weight", Role.ATTENTION_VALUE),
    ("attn_v.weight", Role.ATTENTION_VALUE),
    ("attn_k.weight", Role.ATTENTION_KEY),
    ("attn_output.weight", Role.ATTENTION_OUTPUT),
    ("ffn_down", Role.FEED_FORWARD_DOWN),
)


@dataclass(frozen=True)
class ModelFacts:
    """What the rules ask of the whole model. `grouping`: query heads for each key and value head (0: no such)."""

    architecture: str
    layers: int
    experts: int
    grouping: int


@dataclass(frozen=True)
class Overrides:
    """`output` and `embedding`: types of those two; `pure`: all other matrices get the mix's usual type."""

    output: TensorType | None = None
    embedding: TensorType | None = None
    pure: bool = False


@dataclass(frozen=True)
class _Place:
    """The `index`-th of `count` matrices of the same role."""

    index: int
    count: int
    model: ModelFacts


_Where = Callable[[_Place], bool]
_Raise = tuple[TensorType, _Where]


def _everywhere(place: _Place) -> bool:
    return True


def _grouped(place: _Place) -> bool:
    """Values are small beside queries there, and read by many of them."""
    return place.model.grouping >= 4


def _first(count: int) -> _Where:
    return lambda place: place.index < count


def _first_part(parts: int) -> _Where:
    return lambda place: place.index < place.count // parts


def _ends_and_every_third(place: _Place) -> bool:
    """The first eighth, the last one, and every third between."""
    eighth = place.count // 8
    return place.index < eighth or place.index >= 7 * place.count // 8 or (place.index - eighth) % 3 == 2


_HIGH = (TensorType.Q6_K, _ends_and_every_third)

# Mix and role -> types with where they are given; the first that applies, or the mix's usual type.
_RAISED: dict[tuple[str, Role], tuple[_Raise, ...]] = {
    ("Q2_K", Role.ATTENTION_VALUE): ((TensorType.Q4_K, _grouped), (TensorType.Q3_K, _everywhere)),
    ("Q2_K", Role.ATTENTION_OUTPUT): ((TensorType.Q3_K, _everywhere),),
    ("Q2_K", Role.FEED_FORWARD_DOWN): ((TensorType.Q3_K, _everywhere),),
    ("Q3_K_M", Role.ATTENTION_VALUE): ((TensorType.Q5_K, _first(2)), (TensorType.Q4_K, _everywhere)),
    ("Q3_K_M", Role.ATTENTION_OUTPUT): ((TensorType.Q4_K, _everywhere),),
    ("Q3_K_M", Role.FEED_FORWARD_DOWN): ((TensorType.Q5_K, _first_part(16)), (TensorType.Q4_K, _everywhere)),
    ("Q3_K_L", Role.ATTENTION_VALUE): ((TensorType.Q5_K, _everywhere),),
    ("Q3_K_L", Role.ATTENTION_OUTPUT): ((TensorType.Q5_K, _everywhere),),
    ("Q3_K_L", Role.FEED_FORWARD_DOWN): ((TensorType.Q5_K, _everywhere),),
    ("Q4_K_S", Role.ATTENTION_VALUE): ((TensorType.Q5_K, _first(4)),),
    ("Q4_K_S", Role.FEED_FORWARD_DOWN): ((TensorType.Q5_K, _first_part(8)),),
    ("Q4_K_M", Role.ATTENTION_VALUE): (_HIGH,),
    ("Q4_K_M", Role.FEED_FORWARD_DOWN): (_HIGH,),
    ("Q5_K_M", Role.ATTENTION_VALUE): (_HIGH,),
    ("Q5_K_M", Role.FEED_FORWARD_DOWN): (_HIGH,),
    ("IQ4_NL", Role.ATTENTION_VALUE): ((TensorType.Q5_K, _grouped),),
    ("IQ4_NL", Role.FEED_FORWARD_DOWN): ((TensorType.Q5_K, _first_part(8)),),
    ("IQ4_XS", Role.ATTENTION_VALUE): ((TensorType.Q5_K, _grouped),),
    ("IQ4_XS", Role.FEED_FORWARD_DOWN): ((TensorType.Q5_K, _first_part(8)),),
}

# Where there are eight experts, attention is a small part of the whole.
_RAISED_BESIDE_EIGHT_EXPERTS = ("Q2_K", "Q3_K_S", "Q3_K_M", "Q4_K_S", "Q4_K_M", "IQ4_NL", "IQ4_XS")

# Architectures and layers of the models with 70 billion weights, whose values are shared by eight query heads each.
_SEVENTY_BILLION = {("llama", 80), ("qwen2", 80), ("deci", 80), ("olmo", 80), ("jais2", 68)}

# Falcon's own rules for some mixes, and no others for these roles; its output matrix is Q8_0.
_FALCON: dict[tuple[str, Role], tuple[_Raise, ...]] = {
    ("Q2_K", Role.FEED_FORWARD_DOWN): ((TensorType.Q3_K, _everywhere),),
    ("Q3_K_M", Role.FEED_FORWARD_DOWN): (
        (TensorType.Q5_K, _first_part(16)),
        (TensorType.Q4_K, _ends_and_every_third),
    ),
    ("Q3_K_L", Role.ATTENTION_OUTPUT): ((TensorType.Q4_K, _everywhere),),
    ("Q3_K_L", Role.FEED_FORWARD_DOWN): ((TensorType.Q4_K, _everywhere),),
    ("Q4_K_M", Role.FEED_FORWARD_DOWN): (
        (TensorType.Q6_K, _first_part(16)),
        (TensorType.Q5_K, _ends_and_every_third),
    ),
    ("Q5_K_M", Role.FEED_FORWARD_DOWN): (_HIGH,),
    ("IQ4_NL", Role.FEED_FORWARD_DOWN): ((TensorType.Q5_K, _first_part(8)),),
    ("IQ4_XS", Role.FEED_FORWARD_DOWN): ((TensorType.Q5_K, _first_part(8)),),
}


def choose_types(
    tensors: Iterable[Tensor], model: ModelFacts, mix: Mix, overrides: Overrides | None = None
) -> dict[str, TensorType]:
    """The type of every tensor by name, in the order of layers; some keep the type they have."""
    ordered = sorted(tensors, key=lambda tensor: (layer_of(tensor.name), tensor.name))
    chooser = _Chooser(ordered, model, mix, overrides or Overrides())
    return {tensor.name: chooser.choose(tensor) for tensor in ordered}


def layer_of(name: str) -> int:
    """The layer that a tensor's name gives, or -1."""
    match = re.match(r"blk\.(\d+)\.", name)
    return int(match[1]) if match else -1


def is_quantised(tensor: Tensor) -> bool:
    """Whether a tensor takes part: a matrix (or a stack of them) of weights that is not among those kept."""
    matrix = any(length > 1 for length in tensor.shape[:-1])
    kept = tensor.name in _KEPT_NAMES or any(part in tensor.name for part in _KEPT)
    return matrix and tensor.name.endswith("weight") and not kept and tensor.type not in _NOT_WEIGHTS


def role_of(name: str) -> Role:
    if name == "output.weight":
        return Role.OUTPUT
    if name in ("token_embd.weight", "per_layer_token_embd.weight"):
        return Role.EMBEDDING
    return next((role for part, role in _ROLES if part in name), Role.OTHER)


class _Chooser:
    """Goes through the tensors in order, counting those of each role."""

    def __init__(self, tensors: Sequence[Tensor], model: ModelFacts, mix: Mix, overrides: Overrides) -> None:
        self.model, self.mix, self.overrides = model, mix, overrides
        roles = [role_of(tensor.name) for tensor in tensors]
        self.tied = Role.OUTPUT not in roles  # then the embedding is the output matrix too
        self.values = roles.count(Role.ATTENTION_VALUE)
        self.seen: dict[Role, int] = dict.fromkeys(Role, 0)

    def choose(self, tensor: Tensor) -> TensorType:
        if not is_quantised(tensor):
            return tensor.type
        role = role_of(tensor.name)
        wished = {Role.OUTPUT: self.overrides.output, Role.EMBEDDING: self.overrides.embedding}.get(role)
        if wished is None and self.mix.base in PLAIN:
            return self.mix.base
        return fitting(self._by_rule(tensor, role) if wished is None else wished, tensor.shape[-1])

    def _by_rule(self, tensor: Tensor, role: Role) -> TensorType:
        if self.overrides.pure:
            return self.mix.base
        if role is Role.OUTPUT or (self.tied and role is Role.EMBEDDING):
            output = self.overrides.output
            return self._output_type(tensor.shape[-1]) if output is None else output
        if self.mix.base is TensorType.MXFP4:
            return TensorType.MXFP4 if len(tensor.shape) > 2 and tensor.shape[-3] > 1 else TensorType.Q8_0
        return self._in_layer(role, self._place(tensor.name, role))

    def _output_type(self, columns: int) -> TensorType:
        whole = columns % self.mix.base.block_elements == 0
        small = whole and self.mix.base not in (TensorType.Q8_0, TensorType.MXFP4)
        return TensorType.Q6_K if small and self.model.architecture != "falcon" else TensorType.Q8_0

    def _place(self, name: str, role: Role) -> _Place:
        """Where experts are split into tensors, their order is not that of the layers: the name counts."""
        index = self.seen[role]
        self.seen[role] += 1
        if role is Role.ATTENTION_VALUE:
            return _Place(index, self.values, self.model)
        named = layer_of(name)
        return _Place(named if self.model.experts > 1 and named >= 0 else index, self.model.layers, self.model)

    def _in_layer(self, role: Role, place: _Place) -> TensorType:
        model, base = self.model, self.mix.base
        eight = model.experts == 8
        if eight and role in (Role.ATTENTION_VALUE, Role.ATTENTION_KEY):
            return TensorType.Q8_0
        falcon = model.architecture == "falcon" and role in (Role.ATTENTION_OUTPUT, Role.FEED_FORWARD_DOWN)
        if eight and role is Role.ATTENTION_OUTPUT and not falcon:
            return TensorType.Q5_K if self.mix.name in _RAISED_BESIDE_EIGHT_EXPERTS else base
        table: Mapping[tuple[str, Role], tuple[_Raise, ...]] = _FALCON if falcon else _RAISED
        type = next((type for type, applies in table.get((self.mix.name, role), ()) if applies(place)), base)
        low = type in (TensorType.Q3_K, TensorType.Q4_K)
        return TensorType.Q5_K if low and role is Role.ATTENTION_VALUE and _is_seventy_billion(model) else type


def fitting(type: TensorType, columns: int) -> TensorType:
    """The type itself, or one with blocks that a row of `columns` holds whole."""
    for candidate in (type, _SMALLER_BLOCKS.get(type, type)):
        if columns % candidate.block_elements == 0:
            return candidate
    return TensorType.F16


def _is_seventy_billion(model: ModelFacts) -> bool:
    ungrouped_llama = model.architecture == "llama" and model.grouping == 1  # that one has 65 billion
    return (model.architecture, model.layers) in _SEVENTY_BILLION and not ungrouped_llama
