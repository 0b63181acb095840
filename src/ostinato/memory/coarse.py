"""A model's experts once more in fewer bits, from another file of it: what a miss that matters little may be computed
from instead of being waited for.

Copies are parcels like the others, behind them, in slots of their own. native/memory/misses.h decides which misses they
serve, by how long reads take here: `timed_reads` are what it is fitted to. An answer then depends on what was in memory
when it was made, so it may differ from run to run; rows of prompts always have the model's own experts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from time import perf_counter

import numpy as np

from ostinato import _memory
from ostinato.gguf.reader import GGUFFile
from ostinato.gguf.types_table import TensorType
from ostinato.memory.cost import Sample, fit
from ostinato.memory.parcels import ExpertStack, Extent, Parcel, Parcels, StackCopy, experts_of, locator
from ostinato.model.weights import WeightError, WeightView, resolve

LEAST_SAVING = 1e-4  # seconds: a step of two threads computes some ten milliseconds
TIMED = (1, 2, 4, 8) * 2  # parcels that are wanted at once: some 80 MB of experts of 2.7 MB, which stay in their slots


class CoarseError(ValueError):
    """A file whose experts are not copies of the model's; the text says which and why."""


def with_copies(parcels: Parcels, file: GGUFFile, copy: GGUFFile) -> Parcels:
    """The parcels of `file`, and those of `copy` as copies: their extents' files come after the model's. Raises
    CoarseError."""
    if not parcels.stacks:
        raise CoarseError(f"{copy.path}: {file.path} has no experts that could be read from it")
    _check_same_model(file, copy)
    locate, copies = locator(copy), list[Parcel]()
    stacks = {}
    for stack in parcels.stacks:
        views = _views(stack, file, copy)
        extents = experts_of(views, locate)
        if extents is None:
            raise CoarseError(f"{copy.path}: an expert of layer {stack.layer} does not lie in one piece")
        own = StackCopy(
            len(parcels.parcels) + len(copies), tuple(view.type for view in views),
            tuple(view.pieces[0].stride for view in views),
        )  # fmt: skip
        stacks[stack.weights] = replace(stack, copy=own)
        copies += [Parcel(stack.layer, _behind(each, len(file.parts))) for each in extents]
    return replace(
        parcels, parcels=(*parcels.parcels, *copies), stacks=tuple(stacks.values()), copies=len(copies),
        stack_of=stacks,
    )  # fmt: skip


def miss_rule(store: _memory.Store, parcels: Parcels, most_share: float) -> _memory.MissRule:
    """The rule for this machine's reads. Raises CoarseError where they cannot be timed."""
    try:
        line = fit(timed_reads(store, parcels))
    except ValueError as error:
        raise CoarseError(f"how long reads of experts take could not be found: {error}") from None
    return _memory.MissRule(line.latency, line.rate, LEAST_SAVING, most_share)


def timed_reads(store: _memory.Store, parcels: Parcels) -> list[Sample]:
    """Of several parcels at once, which nobody has wanted so far. Failed ones are left out: who wants them next is
    told."""
    count = len(parcels.exact)
    order = iter(np.random.default_rng(0).permutation(count).astype(np.int32).tolist())
    samples = []
    for at_once in TIMED:
        some = list(islice(order, at_once))
        begin = perf_counter()
        if some and _read(store, some):
            samples.append(Sample(sum(parcels.parcels[parcel].nbytes for parcel in some), perf_counter() - begin))
    return samples


def _read(store: _memory.Store, parcels: list[int]) -> bool:
    request, good = _memory.Request(store), True
    request.want(np.array(parcels, np.int32))
    while arrivals := request.take():
        for parcel, error in arrivals:
            good = good and not error
            if not error:
                request.release(parcel)
    return good


def _views(stack: ExpertStack, file: GGUFFile, copy: GGUFFile) -> list[WeightView]:
    """The stack's weights in the copy, shaped as they are in the model."""
    views = []
    for weight in stack.operands:
        try:
            view, wanted = resolve(weight, copy.tensors), resolve(weight, file.tensors).dims
        except WeightError as error:
            raise CoarseError(f"{copy.path}: {error}") from None
        if view.dims != wanted:
            raise CoarseError(f"{copy.path}: {weight} is {list(view.dims)}, in {file.path} {list(wanted)}")
        views.append(view)
    return views


def _check_same_model(file: GGUFFile, copy: GGUFFile) -> None:
    """By its architecture and its norms and the like, which no quantisation changes. Raises CoarseError."""
    key = "general.architecture"
    if file.require(key, str) != copy.require(key, str):
        raise CoarseError(f"{copy.path}: is a {copy.require(key, str)} model, {file.path} a {file.require(key, str)}")
    for name in _vectors(file):
        if name not in copy.tensors or not np.array_equal(copy.tensors[name].data, file.tensors[name].data):
            raise CoarseError(f"{copy.path}: is of another model than {file.path}: they differ in {name}")


def _vectors(file: GGUFFile) -> Iterable[str]:
    return (name for name, own in file.tensors.items() if len(own.shape) == 1 and own.type is TensorType.F32)


def _behind(extents: Iterable[Extent], files: int) -> tuple[Extent, ...]:
    return tuple(replace(extent, file=extent.file + files) for extent in extents)
