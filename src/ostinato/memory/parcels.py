"""Which bytes of a model's files move together: one expert of one layer, or matrices of one layer.

Everything that is not in a parcel (norms, routers, embeddings; beside experts, attention too) stays resident.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING

from ostinato.gguf.reader import GGUFFile
from ostinato.gguf.types_table import TensorType
from ostinato.model.weights import Piece, StoredTensor, WeightExpr, WeightView, resolve
from ostinato.program.ir import Instruction, Programs

if TYPE_CHECKING:
    import numpy as np

    from ostinato import _memory

_EXPERT_OPERANDS = 3  # gate?, up, down; biases are small and stay resident
_STREAMED_OPS = ("linear", "per_head")
_SMALLEST = 64 << 10  # bytes of a matrix that is worth moving


@dataclass(frozen=True)
class Extent:
    """`nbytes` bytes at `offset` of file number `file` of the model."""

    file: int
    offset: int
    nbytes: int


@dataclass(frozen=True)
class Parcel:
    """What moves together. `layer` is what it is counted under, and when hints for it end: the layer of an expert; of
    dense layers, whose parcels are wanted one by one, the parcel's own number."""

    layer: int
    extents: tuple[Extent, ...]

    @property
    def nbytes(self) -> int:
        return _nbytes(self.extents)


@dataclass(frozen=True)
class StackCopy:
    """The same experts in fewer bits (memory/coarse.py): parcels `first` and on, and what each operand's matrices are
    there."""

    first: int
    types: tuple[TensorType, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class ExpertStack:
    """The experts of `experts` instructions with these weights: expert e is parcel `first + e`, whose extents are its
    matrices of the operands that are there, in the order gate, up, down. Row r of a matrix lies r x its operand's
    stride behind the extent's begin."""

    layer: int
    weights: tuple[WeightExpr | None, ...]
    first: int
    count: int
    strides: tuple[int, ...]
    copy: StackCopy | None = None

    @property
    def operands(self) -> list[WeightExpr]:
        """Those that are there: what the extents of a parcel are of."""
        return [weight for weight in self.weights if weight is not None]


@dataclass(frozen=True)
class DensePart:
    """Matrices of a layer that are one parcel: each weight's pieces are the extents `extents[weight]` of `parcel`."""

    layer: int
    parcel: int
    extents: Mapping[WeightExpr, range]


@dataclass(frozen=True)
class Parcels:
    """All parcels of a model, and what they are made of. `resident_bytes` are the model's other tensors. The last
    `copies` of them are copies of experts."""

    parcels: tuple[Parcel, ...]
    resident_bytes: int
    stacks: tuple[ExpertStack, ...] = ()
    dense: tuple[DensePart, ...] = ()
    copies: int = 0
    stack_of: Mapping[tuple[WeightExpr | None, ...], ExpertStack] = field(default_factory=dict, repr=False)

    @property
    def exact(self) -> tuple[Parcel, ...]:
        """The model's own, without copies."""
        return self.parcels[: len(self.parcels) - self.copies]

    def without_copies(self) -> Parcels:
        stacks = {weights: replace(stack, copy=None) for weights, stack in self.stack_of.items()}
        return replace(self, parcels=self.exact, stacks=tuple(stacks.values()), copies=0, stack_of=stacks)

    @cached_property
    def nbytes(self) -> int:
        """Of the model's own."""
        return sum(parcel.nbytes for parcel in self.exact)

    @cached_property
    def layers(self) -> int:
        """Layers with parcels: steps that a token takes."""
        return len({parcel.layer for parcel in self.parcels})

    def stack(self, instruction: Instruction) -> ExpertStack | None:
        """The parcels of an `experts` instruction; None where its experts stay resident."""
        return self.stack_of.get(instruction.weights[:_EXPERT_OPERANDS])

    def native(self, cache: Sequence[int], checksums: np.ndarray | None = None) -> _memory.Catalogue:
        """For the store: `cache` names each parcel's cache, `checksums` (uint32) are verified on every read."""
        import numpy as np

        from ostinato import _memory

        flat = [(e.file, e.offset, e.nbytes) for parcel in self.parcels for e in parcel.extents]
        first = np.cumsum([0, *(len(parcel.extents) for parcel in self.parcels)], dtype=np.int32)
        layers = np.array([parcel.layer for parcel in self.parcels], np.int32)
        sums = np.zeros(0, np.uint32) if checksums is None else checksums
        return _memory.Catalogue(
            np.array(flat, np.int64).reshape(-1, 3), first, np.array(cache, np.int32), layers, sums, self.copies
        )


def streaming_parcels(programs: Programs, file: GGUFFile) -> Parcels:
    """Experts where there are any, else layers."""
    experts = expert_parcels(programs, file)
    return experts if experts.parcels else layer_parcels(programs, file)


def expert_stacks(programs: Programs, tensors: Mapping[str, StoredTensor]) -> tuple[ExpertStack, ...]:
    """The stacks of all `experts` instructions, but for those that share a matrix: a weight lies in one place."""
    layers = {i.weights[:_EXPERT_OPERANDS]: i.layer for i in _instructions(programs, ("experts",))}
    users = Counter(weight for weights in layers for weight in set(weights))
    stacks: list[ExpertStack] = []
    first = 0
    for weights, layer in layers.items():
        if any(users[weight] > 1 for weight in weights if weight is not None):
            continue
        views = [resolve(weight, tensors) for weight in weights if weight is not None]
        strides = tuple(view.pieces[0].stride for view in views)
        stacks.append(ExpertStack(layer, weights, first, views[0].dims[0], strides))
        first += views[0].dims[0]
    return tuple(stacks)


def expert_parcels(programs: Programs, file: GGUFFile) -> Parcels:
    """A parcel for every expert of every layer. Stacks whose experts are not each in one piece, or that
    share a matrix, stay resident."""
    locate = locator(file)
    parcels: list[Parcel] = []
    stacks: dict[tuple[WeightExpr | None, ...], ExpertStack] = {}
    for stack in expert_stacks(programs, file.tensors):
        extents = experts_of([resolve(weight, file.tensors) for weight in stack.operands], locate)
        if extents is None:
            continue
        stacks[stack.weights] = replace(stack, first=len(parcels))
        parcels += [Parcel(stack.layer, own) for own in extents]
    return _parcels(file, parcels, stacks=tuple(stacks.values()), stack_of=stacks)


def layer_parcels(programs: Programs, file: GGUFFile) -> Parcels:
    """Parcels of the large matrices of a dense model's layers, in the order in which they are read: matrices of one
    layer that follow each other, together no larger than the largest of all. So slots of one size hold them, and few
    of these are enough."""
    locate = locator(file)
    matrices: dict[WeightExpr, tuple[int, list[Extent]]] = {}
    for instruction in _instructions(programs, _STREAMED_OPS):
        weight = instruction.weights[0]
        if weight is None or weight in matrices or instruction.layer < 0:
            continue
        pieces = _pieces(resolve(weight, file.tensors), locate)
        if pieces is not None and _nbytes(pieces) >= _SMALLEST:
            matrices[weight] = instruction.layer, pieces
    most = max((_nbytes(pieces) for _, pieces in matrices.values()), default=0)
    parts: list[DensePart] = []
    flat: list[list[Extent]] = []
    for weight, (layer, pieces) in matrices.items():
        if not parts or parts[-1].layer != layer or _nbytes(flat[-1]) + _nbytes(pieces) > most:
            parts.append(DensePart(layer, len(parts), {}))
            flat.append([])
        own = range(len(flat[-1]), len(flat[-1]) + len(pieces))
        parts[-1] = replace(parts[-1], extents={**parts[-1].extents, weight: own})
        flat[-1] += pieces
    return _parcels(file, [Parcel(number, tuple(own)) for number, own in enumerate(flat)], dense=tuple(parts))


def _nbytes(extents: Iterable[Extent]) -> int:
    return sum(extent.nbytes for extent in extents)


def _parcels(
    file: GGUFFile, parcels: list[Parcel], *, stacks: tuple[ExpertStack, ...] = (), dense: tuple[DensePart, ...] = (),
    stack_of: Mapping[tuple[WeightExpr | None, ...], ExpertStack] | None = None,
) -> Parcels:  # fmt: skip
    moved = sum(extent.nbytes for extent in {extent for parcel in parcels for extent in parcel.extents})
    total = sum(tensor.nbytes for tensor in file.tensors.values())
    return Parcels(tuple(parcels), total - moved, stacks, dense, stack_of=stack_of or {})


def _instructions(programs: Programs, ops: tuple[str, ...]) -> Iterable[Instruction]:
    return (i for program in programs for i in program.instructions if i.op in ops)


Locate = Callable[[Piece], tuple[int, int] | None]


def locator(file: GGUFFile) -> Locate:
    """Where a piece begins: (number of the file, offset), or None for what is in no file (constants)."""
    import numpy as np

    mapped = [np.frombuffer(part.file.memory, np.uint8) for part in file.parts]
    ranges = [(array.ctypes.data, array.nbytes) for array in mapped]

    def locate(piece: Piece) -> tuple[int, int] | None:
        address = piece.data.ctypes.data + piece.offset
        for number, (start, nbytes) in enumerate(ranges):
            if start <= address < start + nbytes:
                return number, address - start
        return None

    return locate


def experts_of(views: Sequence[WeightView], locate: Locate) -> list[tuple[Extent, ...]] | None:
    """Of every expert of these stacks [E, N, K]: an extent of each. None where one is not in one piece."""
    slices = [_matrices(view, locate) for view in views]
    whole = [part for part in slices if part is not None]
    return list(zip(*whole, strict=True)) if len(whole) == len(views) else None


def _span(rows: int, stride: int, view: WeightView) -> int:
    return (rows - 1) * stride + view.row_bytes


def _matrices(view: WeightView, locate: Locate) -> list[Extent] | None:
    """The extents of the matrices of a stack [E, N, K]; None where one is not in one piece, or strides differ."""
    n, extents = prod(view.dims[1:-1]), []
    for piece in view.pieces:
        place = locate(piece)
        if place is None or piece.count % n or piece.stride != view.pieces[0].stride:
            return None
        number, begin = place
        size, step = _span(n, piece.stride, view), n * piece.stride
        extents += [Extent(number, begin + i * step, size) for i in range(piece.count // n)]
    return extents


def _pieces(view: WeightView, locate: Locate) -> list[Extent] | None:
    """The extents of a weight's pieces; None where one is in no file."""
    extents = []
    for piece in view.pieces:
        place = locate(piece)
        if place is None:
            return None
        extents.append(Extent(*place, _span(piece.count, piece.stride, view)))
    return extents
