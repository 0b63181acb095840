"""The one place where architecture names appear: from a file's metadata and tensors to a ModelSpec.

A new architecture is a function here and a line in ARCHITECTURES; capabilities (biases, per-head norms, tied
output, experts) are found from the tensors that are there. Metadata keys are those of the GGUF specification
(ggml, docs/gguf.md); tensor names those of llama.cpp's tables, as the `gguf` package lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ostinato.model.kinds_table import RopeStyle
from ostinato.model.spec import Attention, Dense, Experts, Layer, ModelSpec, Projection, Rope
from ostinato.model.weights import Stack, StoredTensor, Tensor, WeightExpr

MAX_SIZE = 2**28  # rows or columns of a matrix: sizes and their small multiples are int32 in programs


class ModelError(ValueError):
    """A file that is sound GGUF but not a model this version can run; the text names what is missing."""


class ModelFile(Protocol):
    """What a mapping needs of a GGUF file."""

    @property
    def metadata(self) -> Mapping[str, Any]: ...
    @property
    def tensors(self) -> Mapping[str, StoredTensor]: ...


class _File:
    """Metadata and tensors with the architecture's prefix, and errors that name the key."""

    def __init__(self, file: ModelFile, architecture: str) -> None:
        self._file = file
        self._prefix = architecture
        self._known: set[str] = set()  # tensors that the mapping asked for

    def number(self, key: str, default: float | None = None, *, low: float = 0, high: float = 2**31) -> float:
        full = f"{self._prefix}.{key}"
        value = self._file.metadata.get(full, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ModelError(f"metadata {full!r} must be a number, found {value!r}")
        if not low <= value <= high:
            raise ModelError(f"metadata {full!r} is {value}; expected {low} to {high}")
        return value

    def integer(self, key: str, default: int | None = None, *, low: int = 1, high: int = 2**24) -> int:
        value = self.number(key, default, low=low, high=high)
        if value != int(value):
            raise ModelError(f"metadata {self._prefix}.{key} must be a whole number, found {value}")
        return int(value)

    def choice(self, key: str, supported: tuple[str, ...]) -> str:
        """One of the supported words, of which the first is the default."""
        full = f"{self._prefix}.{key}"
        value = self._file.metadata.get(full, supported[0])
        if value not in supported:
            raise ModelError(f"metadata {full!r} is {value!r}; supported: {', '.join(supported)}")
        return str(value)

    def has(self, name: str) -> bool:
        self._known.add(name)
        return name in self._file.tensors

    def check_all_known(self) -> None:
        """A tensor that nobody asked for would change what the model means: it is refused, not ignored."""
        unknown = [name for name in self._file.tensors if name not in self._known]
        if unknown:
            raise ModelError(
                f"{len(unknown)} tensors that architecture {self._prefix!r} has no use for here: "
                f"{', '.join(unknown[:3])}"
            )

    def tensor(self, name: str) -> WeightExpr:
        if not self.has(name):
            raise ModelError(f"the file has no tensor {name!r}, which architecture {self._prefix!r} needs")
        return Tensor(name)

    def optional(self, name: str) -> WeightExpr | None:
        return Tensor(name) if self.has(name) else None

    def shape(self, name: str) -> tuple[int, ...]:
        self.tensor(name)
        return self._file.tensors[name].shape

    def projection(self, stem: str) -> Projection:
        return Projection(self.tensor(f"{stem}.weight"), self.optional(f"{stem}.bias"))


def _llama(file: _File, name: str, architecture: str) -> ModelSpec:
    """llama 1, 2, 3 and, with experts, mixtral."""
    vocab, width = _matrix(file, "token_embd.weight")
    embedding = file.tensor("token_embd.weight")
    return ModelSpec(
        architecture=architecture,
        name=name,
        vocab_size=vocab,
        width=width,
        context=file.integer("context_length"),
        norm_eps=file.number("attention.layer_norm_rms_epsilon", low=0, high=1),
        embedding=embedding,
        layers=tuple(_llama_layer(file, i, width) for i in range(file.integer("block_count", high=4096))),
        output_norm=file.tensor("output_norm.weight"),
        output=file.optional("output.weight") or embedding,
    )


def _llama_layer(file: _File, index: int, width: int) -> Layer:
    stem = f"blk.{index}"
    return Layer(
        attention_norm=file.tensor(f"{stem}.attn_norm.weight"),
        attention=_attention(file, stem, width, RopeStyle.NORM),
        ffn_norm=file.tensor(f"{stem}.ffn_norm.weight"),
        ffn=_experts(file, stem) if file.has(f"{stem}.ffn_gate_inp.weight") else _dense(file, stem),
    )


def _attention(file: _File, stem: str, width: int, style: RopeStyle) -> Attention:
    heads = file.integer("attention.head_count", high=65536)
    kv_heads = file.integer("attention.head_count_kv", heads, high=heads)
    key_dim = file.integer("attention.key_length", max(width // heads, 1), high=65536)
    value_dim = file.integer("attention.value_length", key_dim, high=65536)
    if heads % kv_heads:
        raise ModelError(f"{heads} heads cannot share {kv_heads} KV heads evenly")
    return Attention(
        heads=heads,
        kv_heads=kv_heads,
        key_dim=key_dim,
        value_dim=value_dim,
        scale=key_dim**-0.5,
        query=file.projection(f"{stem}.attn_q"),
        key=file.projection(f"{stem}.attn_k"),
        value=file.projection(f"{stem}.attn_v"),
        output=file.projection(f"{stem}.attn_output"),
        rope=_rope(file, key_dim, style),
        query_norm=file.optional(f"{stem}.attn_q_norm.weight"),
        key_norm=file.optional(f"{stem}.attn_k_norm.weight"),
    )


def _rope(file: _File, head_dim: int, style: RopeStyle) -> Rope:
    scaling = file.choice("rope.scaling.type", ("none", "linear"))
    factor = file.number("rope.scaling.factor", 1.0, low=1e-6) if scaling == "linear" else 1.0
    return Rope(
        dims=file.integer("rope.dimension_count", head_dim, high=head_dim),
        base=file.number("rope.freq_base", 10000.0, low=1e-6, high=1e12),
        style=style,
        scale=1.0 / factor,
        factors=file.optional("rope_freqs.weight"),
    )


def _dense(file: _File, stem: str) -> Dense:
    gate, up, down = (file.projection(f"{stem}.ffn_{part}") for part in ("gate", "up", "down"))
    return Dense(gate, up, down)


def _experts(file: _File, stem: str) -> Experts:
    count = file.integer("expert_count", high=65536)
    scored = _matrix(file, f"{stem}.ffn_gate_inp.weight")[0]
    if scored != count:
        raise ModelError(f"tensor '{stem}.ffn_gate_inp.weight' scores {scored} experts; the metadata say {count}")
    return Experts(
        count=count,
        used=file.integer("expert_used_count", high=count),
        router=file.tensor(f"{stem}.ffn_gate_inp.weight"),
        gate=_stack(file, stem, "gate", count),
        up=_stack(file, stem, "up", count),
        down=_stack(file, stem, "down", count),
    )


def _stack(file: _File, stem: str, part: str, count: int) -> WeightExpr:
    """One stacked tensor, or (files made before stacking) one tensor per expert."""
    if file.has(f"{stem}.ffn_{part}.0.weight"):
        return Stack(tuple(file.tensor(f"{stem}.ffn_{part}.{e}.weight") for e in range(count)))
    return file.tensor(f"{stem}.ffn_{part}_exps.weight")


def _matrix(file: _File, name: str) -> tuple[int, int]:
    shape = file.shape(name)
    if len(shape) != 2:
        raise ModelError(f"tensor {name!r} must be a matrix, found shape {list(shape)}")
    if not 1 <= min(shape) <= max(shape) <= MAX_SIZE:
        raise ModelError(f"tensor {name!r} has shape {list(shape)}; expected sizes from 1 to {MAX_SIZE}")
    return shape[0], shape[1]


ARCHITECTURES: Mapping[str, Callable[[_File, str, str], ModelSpec]] = {
    "llama": _llama,
}


def read_spec(file: ModelFile) -> ModelSpec:
    """The ModelSpec of an open GGUF file. Raises ModelError naming what is missing or not supported."""
    architecture = file.metadata.get("general.architecture")
    if not isinstance(architecture, str):
        raise ModelError("metadata 'general.architecture' is missing: the file does not say what model it holds")
    if architecture not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise ModelError(f"architecture {architecture!r:.80} is not supported; supported: {known}")
    if not file.tensors:
        raise ModelError("the file holds a vocabulary but no tensors: it can tokenize, not generate")
    name = file.metadata.get("general.name", architecture)
    reader = _File(file, architecture)
    spec = ARCHITECTURES[architecture](reader, str(name), architecture)
    reader.check_all_known()
    return spec
