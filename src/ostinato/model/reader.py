"""Reads a file's metadata and tensors for a mapping, with errors that name the key or the tensor.

Metadata keys are those of the GGUF specification (ggml, docs/gguf.md); tensor names those of llama.cpp's tables, as
the `gguf` package lists them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Protocol

from ostinato.model.spec import Norm, Projection
from ostinato.model.weights import MAX_SIZE, Columns, Rows, Stack, StoredTensor, Tensor, WeightExpr

# Several times what any model has. Some weights are as many slices as there are heads or experts, so that a short
# file could otherwise ask for millions of them.
MAX_LAYERS = 512
MAX_HEADS = 1024
MAX_HEAD_DIM = 8192
MAX_EXPERTS = 4096

LAST = "\U0010ffff"  # sorts behind all other characters


class ModelError(ValueError):
    """A file that is sound GGUF but not a model this version can run; the text names what is missing."""


class ModelFile(Protocol):
    """What a mapping needs of a GGUF file."""

    @property
    def metadata(self) -> Mapping[str, Any]: ...
    @property
    def tensors(self) -> Mapping[str, StoredTensor]: ...


class Reader:
    """Metadata under the architecture's prefix, and tensors; it knows which ones a mapping asked for."""

    def __init__(self, file: ModelFile, architecture: str, centred: bool = True) -> None:
        """`centred` False: norms do not subtract the mean, by whatever name the file calls their epsilon."""
        self.architecture = architecture
        self._centred = centred
        self._file = file
        self._known: set[str] = set()

    # ---------------------------------------------------------------------------------------------- metadata

    def get(self, key: str) -> Any:
        """The value under the architecture's prefix, or None."""
        return self._file.metadata.get(f"{self.architecture}.{key}")

    def number(self, key: str, default: float | None = None, *, low: float = 0, high: float = 2**31) -> float:
        return self._number(key, self.get(key) if self.get(key) is not None else default, low, high)

    def integer(self, key: str, default: int | None = None, *, low: int = 1, high: int = 2**24) -> int:
        return self._whole(key, self.number(key, default, low=low, high=high))

    def per_layer(self, key: str, layer: int, default: int | None = None, *, low: int = 0, high: int = 2**24) -> int:
        """A number that files store once for all layers, or once for each."""
        value = self.of_layer(key, layer)
        return self._whole(key, self._number(key, default if value is None else value, low, high))

    def flag_of_layer(self, key: str, layer: int) -> bool | None:
        """An element of an array with one for each layer; None where the value is no array."""
        value = None if isinstance(self.get(key), int | float) else self.of_layer(key, layer)
        if not isinstance(value, int | None):
            raise ModelError(f"metadata '{self.architecture}.{key}' must hold true or false, found {_short(value)}")
        return None if value is None else bool(value)

    def of_layer(self, key: str, layer: int) -> Any:
        """The value under a key, or where that is an array its element for the layer; None where there is no key."""
        value = self.get(key)
        if isinstance(value, int | float | str | bytes | None):
            return value
        if not layer < len(value) <= MAX_LAYERS:
            raise ModelError(
                f"metadata '{self.architecture}.{key}' has {len(value)} elements; expected one for each layer, "
                f"{layer + 1} to {MAX_LAYERS}"
            )
        return value[layer]

    def flag(self, key: str, default: bool) -> bool:
        value = self.get(key)
        if value is not None and not isinstance(value, bool):
            raise ModelError(f"metadata '{self.architecture}.{key}' must be true or false, found {_short(value)}")
        return default if value is None else value

    def choice(self, key: str, supported: tuple[str, ...]) -> str:
        """One of the supported words, of which the first is the default."""
        value = self.get(key)
        if value is not None and value not in supported:
            raise ModelError(
                f"metadata '{self.architecture}.{key}' is {_short(value)}; supported: {', '.join(supported)}"
            )
        return supported[0] if value is None else str(value)

    @property
    def layers(self) -> int:
        """Layers that a step runs: those for drafting several tokens at once, at the end, are left out."""
        count = self.integer("block_count", high=MAX_LAYERS)
        return count - self.integer("nextn_predict_layers", 0, low=0, high=count - 1)

    @property
    def eps(self) -> float:
        key = "attention.layer_norm_epsilon" if self._one_epsilon else "attention.layer_norm_rms_epsilon"
        return self.number(key, low=0, high=1)

    @property
    def centred(self) -> bool:
        """Whether norms subtract the mean: the file says so by the name of their epsilon."""
        return self._centred and self._one_epsilon

    @property
    def _one_epsilon(self) -> bool:
        """Whether the file states that of layer norm only."""
        return self.get("attention.layer_norm_rms_epsilon") is None and (
            self.get("attention.layer_norm_epsilon") is not None
        )

    # ----------------------------------------------------------------------------------------------- tensors

    def has(self, name: str) -> bool:
        self._known.add(name)
        return name in self._file.tensors

    def ignore(self, prefix: str) -> None:
        """Tensors that a step does not need (layers that draft)."""
        start, stop = (bisect_left(self._sorted, text) for text in (prefix, f"{prefix}{LAST}"))
        self._known.update(self._sorted[start:stop])

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self._file.tensors)

    def check_all_known(self) -> None:
        """A tensor that nobody asked for would change what the model means: it is refused, not ignored."""
        unknown = [name for name in self._file.tensors if name not in self._known]
        if unknown:
            raise ModelError(
                f"{len(unknown)} tensors that architecture {self.architecture!r} has no use for here: "
                f"{', '.join(map(_printable, unknown[:3]))}"
            )

    def tensor(self, name: str) -> WeightExpr:
        if not self.has(name):
            raise ModelError(f"the file has no tensor {name!r}, which architecture {self.architecture!r} needs")
        return Tensor(name)

    def optional(self, name: str) -> WeightExpr | None:
        return Tensor(name) if self.has(name) else None

    def shape(self, name: str) -> tuple[int, ...]:
        self.tensor(name)
        return self._file.tensors[name].shape

    def matrix(self, name: str) -> tuple[int, int]:
        rows, columns = self._sizes(name, 2, "a matrix")
        return rows, columns

    def matrices(self, name: str) -> tuple[int, int, int]:
        """The shape of a stack of matrices."""
        count, rows, columns = self._sizes(name, 3, "a stack of matrices")
        return count, rows, columns

    def _sizes(self, name: str, rank: int, what: str) -> tuple[int, ...]:
        shape = self.shape(name)
        if len(shape) != rank:
            raise ModelError(f"tensor {name!r} must be {what}, found shape {list(shape)}")
        if not 1 <= min(shape) <= max(shape) <= MAX_SIZE:
            raise ModelError(f"tensor {name!r} has shape {list(shape)}; expected sizes from 1 to {MAX_SIZE}")
        return shape

    def scalar(self, name: str, default: float) -> float:
        """The value of a float32 tensor of one element, or the default where there is none."""
        if not self.has(name):
            return default
        import numpy as np

        if self.shape(name) != (1,) or self._file.tensors[name].type.name != "F32":
            raise ModelError(f"tensor {name!r} must be one F32 number, found shape {list(self.shape(name))}")
        value = float(np.ascontiguousarray(self._file.tensors[name].data).view(np.float32).reshape(-1)[0])
        if not np.isfinite(value):
            raise ModelError(f"tensor {name!r} is {value}")
        return value

    def projection(self, stem: str) -> Projection:
        return Projection(self.tensor(f"{stem}.weight"), self.optional(f"{stem}.bias"))

    def rows(self, stem: str, start: int, stop: int) -> Projection:
        """Rows of a projection that a file keeps together with others."""
        rows = self.matrix(f"{stem}.weight")[0]
        if not 0 <= start < stop <= rows:
            raise ModelError(f"tensor '{stem}.weight' has {rows} rows; {start}..{stop} are needed")
        bias = self.optional(f"{stem}.bias")
        return Projection(
            Rows(self.tensor(f"{stem}.weight"), start, stop), None if bias is None else Columns(bias, start, stop)
        )

    def norm(self, stem: str, groups: int = 1, centred: bool | None = None) -> Norm:
        """A norm that must be there; `centred` None: as all norms of the file."""
        kind = self.centred if centred is None else centred
        return Norm(self.tensor(f"{stem}.weight"), self.eps, self.optional(f"{stem}.bias"), kind, groups)

    def optional_norm(self, stem: str, groups: int = 1, centred: bool | None = None) -> Norm | None:
        return self.norm(stem, groups, centred) if self.has(f"{stem}.weight") else None

    def stack(self, stem: str, part: str, count: int) -> WeightExpr:
        """Experts as one stacked tensor, or (files made before stacking) one tensor per expert."""
        if self.has(f"{stem}.ffn_{part}.0.weight"):
            return Stack(tuple(self.tensor(f"{stem}.ffn_{part}.{e}.weight") for e in range(count)))
        return self.tensor(f"{stem}.ffn_{part}_exps.weight")

    def _number(self, key: str, value: Any, low: float, high: float) -> float:
        full = f"{self.architecture}.{key}"
        if value is None:
            raise ModelError(f"metadata {full!r} is missing; expected a number")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ModelError(f"metadata {full!r} must be a number, found {_short(value)}")
        if not low <= value <= high:
            raise ModelError(f"metadata {full!r} is {value}; expected {low} to {high}")
        return value

    def _whole(self, key: str, value: float) -> int:
        if value != int(value):
            raise ModelError(f"metadata '{self.architecture}.{key}' must be a whole number, found {value}")
        return int(value)


def _short(value: Any) -> str:
    """Any metadata value on one line that can be read."""
    return f"{value!r:.60}"


def _printable(name: str) -> str:
    """A name from the file; quoted where it would disturb a line of text."""
    return name if name.isprintable() else repr(name)
