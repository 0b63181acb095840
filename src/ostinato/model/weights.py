"""Weight expressions: a tensor, a slice of one, a concatenation. Resolved to pieces of the mapped file.

A slice never cuts a block: rows may be cut anywhere, columns at multiples of the type's block.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import TYPE_CHECKING, Protocol

from ostinato.gguf.types_table import TensorType, nbytes

if TYPE_CHECKING:
    import numpy as np


MAX_SIZE = 2**28  # of any dimension of a weight that a program reads: small multiples of it are int32 in backends


class StoredTensor(Protocol):
    """What an expression needs of a tensor of the file (gguf.Tensor has it)."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> TensorType: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def data(self) -> np.ndarray: ...


@dataclass(frozen=True)
class Tensor:
    """A whole tensor, by its name in the file."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Rows:
    """Rows [start, stop) of the first axis."""

    of: WeightExpr
    start: int
    stop: int

    def __str__(self) -> str:
        return f"{self.of}[{self.start}:{self.stop}]"


@dataclass(frozen=True)
class Columns:
    """Elements [start, stop) of every row; both are multiples of the type's block."""

    of: WeightExpr
    start: int
    stop: int

    def __str__(self) -> str:
        return f"{self.of}[:, {self.start}:{self.stop}]"


@dataclass(frozen=True)
class Stack:
    """Equal matrices as one stack [E, N, K] (experts that a file stores one by one)."""

    parts: tuple[WeightExpr, ...]

    def __str__(self) -> str:
        return f"stack({self.parts[0]} .. {self.parts[-1]})"


@dataclass(frozen=True)
class Concat:
    """Matrices of one type and width, one after the other along the first axis."""

    parts: tuple[WeightExpr, ...]

    def __str__(self) -> str:
        return "concat(" + ", ".join(map(str, self.parts)) + ")"


@dataclass(frozen=True)
class Within:
    """Rows [start, stop) of every matrix of a stack [E, N, K] (gate and up that a file stores as one)."""

    of: WeightExpr
    start: int
    stop: int

    def __str__(self) -> str:
        return f"{self.of}[:, {self.start}:{self.stop}, :]"


@dataclass(frozen=True)
class Shaped:
    """The elements of a contiguous tensor of single elements (F32, F16), in order, under another shape."""

    of: WeightExpr
    dims: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.of}{list(self.dims)}"


@dataclass(frozen=True)
class Constant:
    """Numbers that follow from metadata: a float32 vector."""

    values: tuple[float, ...]

    def __str__(self) -> str:
        return f"constant({self.values[0]:.4g} .. {self.values[-1]:.4g})"


WeightExpr = Tensor | Rows | Columns | Stack | Concat | Within | Shaped | Constant


class WeightError(ValueError):
    """An expression that the file's tensors cannot satisfy."""


@dataclass(frozen=True)
class WeightShape:
    """Resolved weight operand: logical shape ([K], [N, K] or [E, N, K]) and stored bytes."""

    dims: tuple[int, ...]
    nbytes: int


@dataclass(frozen=True)
class Piece:
    """A run of equally spaced rows in memory: `count` rows that start at `offset` of `data`, `stride` bytes apart."""

    data: np.ndarray  # uint8, the whole tensor as mapped
    offset: int
    count: int
    stride: int


@dataclass(frozen=True)
class WeightView:
    """A resolved expression. `dims` is [K], [N, K] or [E, N, K]; the pieces' rows in order are all its rows."""

    type: TensorType
    dims: tuple[int, ...]
    pieces: tuple[Piece, ...]

    @property
    def row_bytes(self) -> int:
        return nbytes(self.type, (self.dims[-1],))

    @property
    def nbytes(self) -> int:
        return self.row_bytes * prod(self.dims[:-1])

    @property
    def shape(self) -> WeightShape:
        return WeightShape(self.dims, self.nbytes)


def resolve(expr: WeightExpr, tensors: Mapping[str, StoredTensor]) -> WeightView:
    """The view of `expr` on the file's own bytes; no data is copied. Raises WeightError."""
    match expr:
        case Tensor(name):
            return _tensor(name, tensors)
        case Rows(of, start, stop):
            return _rows(resolve(of, tensors), start, stop, expr)
        case Columns(of, start, stop):
            return _columns(resolve(of, tensors), start, stop, expr)
        case Stack(parts):
            views = [resolve(part, tensors) for part in parts]
            joined = _join(views, expr)
            if any(view.dims != views[0].dims for view in views):
                raise WeightError(f"{expr}: the parts have different shapes")
            return WeightView(joined.type, (len(views), *views[0].dims), joined.pieces)
        case Concat(parts):
            return _join([resolve(part, tensors) for part in parts], expr)
        case Within(of, start, stop):
            return _within(resolve(of, tensors), start, stop, expr)
        case Shaped(of, dims):
            return _shaped(resolve(of, tensors), dims, expr)
        case Constant(values):
            return _constant(values)


def _tensor(name: str, tensors: Mapping[str, StoredTensor]) -> WeightView:
    if name not in tensors:
        raise WeightError(f"the file has no tensor {name!r}")
    tensor = tensors[name]
    stride = nbytes(tensor.type, (tensor.shape[-1],))
    return WeightView(tensor.type, tensor.shape, (Piece(tensor.data, 0, prod(tensor.shape[:-1]), stride),))


def _rows(view: WeightView, start: int, stop: int, expr: WeightExpr) -> WeightView:
    if not 0 <= start < stop <= view.dims[0]:
        raise WeightError(f"{expr}: rows {start}..{stop} of {view.dims[0]}")
    per_row = prod(view.dims[1:-1])  # rows of memory per index of the first axis
    pieces, first = [], 0
    for piece in view.pieces:
        lo, hi = max(start * per_row, first), min(stop * per_row, first + piece.count)
        if lo < hi:
            pieces.append(Piece(piece.data, piece.offset + (lo - first) * piece.stride, hi - lo, piece.stride))
        first += piece.count
    return WeightView(view.type, (stop - start, *view.dims[1:]), tuple(pieces))


def _columns(view: WeightView, start: int, stop: int, expr: WeightExpr) -> WeightView:
    block = view.type.block_elements
    if not 0 <= start < stop <= view.dims[-1] or start % block or stop % block:
        raise WeightError(f"{expr}: columns {start}..{stop} of {view.dims[-1]}, in blocks of {block}")
    skip = nbytes(view.type, (start,)) if start else 0
    pieces = tuple(Piece(p.data, p.offset + skip, p.count, p.stride) for p in view.pieces)
    return WeightView(view.type, (*view.dims[:-1], stop - start), pieces)


def _within(view: WeightView, start: int, stop: int, expr: WeightExpr) -> WeightView:
    if len(view.dims) != 3 or not 0 <= start < stop <= view.dims[1]:
        raise WeightError(f"{expr}: rows {start}..{stop} of matrices of {list(view.dims[1:])}")
    experts, n, k = view.dims
    flat = WeightView(view.type, (experts * n, k), view.pieces)
    parts = [_rows(flat, e * n + start, e * n + stop, expr) for e in range(experts)]
    return WeightView(view.type, (experts, stop - start, k), tuple(p for part in parts for p in part.pieces))


def _shaped(view: WeightView, dims: tuple[int, ...], expr: WeightExpr) -> WeightView:
    stride = nbytes(view.type, (view.dims[-1],))
    if view.type.block_elements != 1 or len(view.pieces) != 1 or view.pieces[0].stride != stride:
        raise WeightError(f"{expr}: not single elements that lie one after the other")
    if prod(dims) != prod(view.dims) or min(dims) < 1:
        raise WeightError(f"{expr}: {list(view.dims)} does not hold that many elements")
    piece = view.pieces[0]
    return WeightView(
        view.type, dims, (Piece(piece.data, piece.offset, prod(dims[:-1]), nbytes(view.type, dims[-1:])),)
    )


@cache
def _constant(values: tuple[float, ...]) -> WeightView:
    import numpy as np

    data = np.array(values, dtype=np.float32).view(np.uint8)
    return WeightView(TensorType.F32, (len(values),), (Piece(data, 0, 1, data.nbytes),))


def _join(views: list[WeightView], expr: WeightExpr) -> WeightView:
    if not views:
        raise WeightError("a concatenation of nothing")
    first = views[0]
    if any(v.type != first.type or v.dims[1:] != first.dims[1:] for v in views):
        raise WeightError(f"{expr}: the parts have different types or widths")
    rows = sum(view.dims[0] for view in views)
    return WeightView(first.type, (rows, *first.dims[1:]), tuple(p for v in views for p in v.pieces))
