"""Programs whose weights stream: hints for experts, layers that are fetched and dropped, and where each weight lies.

Every model passes here, few stream: what only those need is imported by the functions that need it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ostinato.gguf.types_table import TensorType
from ostinato.memory.options import Prefetch
from ostinato.model.weights import StoredTensor, WeightExpr
from ostinato.program.ir import Instruction, Program, Programs

if TYPE_CHECKING:
    from ostinato.memory.parcels import Parcels
    from ostinato.memory.residency import Residency, WeightStore
    from ostinato.passes.foresee import Unforeseen

# Of the experts that a row will use, the part that is hinted from the layer before and from the one before that: what
# the router ranks first there. On traces (12 layers of 64 experts, 8 a token; slots for 42 % of them) those of the
# absent ones that were wanted are 85 to 95 % at rank 4 and 27 to 40 % at rank 8, two layers ahead 68 to 79 % and 24 to
# 26 %. What is read in vain makes the rest wait where many are missing (docs/log.md).
HINTED = (0.5, 0.5)


@dataclass(frozen=True)
class Place:
    """Where a store has a weight, as native/cpu/model.h says."""

    parcel: int = -1
    extent: int = 0
    by_expert: bool = False


RESIDENT = Place()


@dataclass(frozen=True)
class Copy:
    """Experts in fewer bits: of what type, how many bytes a row, in which parcels of the store."""

    type: TensorType
    stride: int
    parcel: int


def with_hints(
    programs: Programs, tensors: Mapping[str, StoredTensor], residency: Residency
) -> tuple[Programs, tuple[Unforeseen, ...]]:
    """Hints for the likeliest experts, as the settings say; and what streams and gets none, though it should."""
    parcels, prefetch = residency.parcels, residency.settings.prefetch
    if prefetch is Prefetch.NONE:
        return programs, ()
    from ostinato.passes.foresee import Foresight, foresee

    unforeseen: dict[Unforeseen, None] = {}  # each once, in the order of layers

    def streams(instruction: Instruction) -> bool:
        return parcels.stack(instruction) is not None

    def hinted(program: Program) -> Program:
        rewritten, left = foresee(program, tensors, streams, Foresight(prefetch.value), HINTED)
        unforeseen.update(dict.fromkeys(left))
        return rewritten

    return programs.rewritten(hinted), tuple(unforeseen)


def with_fetches(programs: Programs, store: WeightStore) -> Programs:
    """Layers that stream are fetched and dropped."""
    from ostinato.memory.budget import kept_layers
    from ostinato.passes.stream import check_held, stream

    places, kept = streamed(store.parcels), kept_layers(store.plan)

    def parcels_of(instruction: Instruction) -> list[int]:
        own = [places[weight] for weight in instruction.weights if weight in places]
        return [place.parcel for place in own if not place.by_expert]

    def fetched(program: Program) -> Program:
        made = stream(program, parcels_of, kept)
        check_held(made, parcels_of)
        return made

    return programs.rewritten(fetched)


def streamed(parcels: Parcels) -> dict[WeightExpr | None, Place]:
    """The place of every weight that streams."""
    places: dict[WeightExpr | None, Place] = {}
    for stack in parcels.stacks:
        for extent, weight in enumerate(stack.operands):
            places[weight] = Place(stack.first, extent, by_expert=True)
    for part in parcels.dense:
        for own, extents in part.extents.items():
            places[own] = Place(part.parcel, extents.start)
    return places


def copies_of(parcels: Parcels) -> dict[WeightExpr | None, Copy]:
    """What misses of each weight's experts may be computed from."""
    copies: dict[WeightExpr | None, Copy] = {}
    for stack in parcels.stacks:
        if (own := stack.copy) is not None:
            for weight, type, stride in zip(stack.operands, own.types, own.strides, strict=True):
                copies[weight] = Copy(type, stride, own.first)
    return copies
