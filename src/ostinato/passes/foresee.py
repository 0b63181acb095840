"""Hints before every mixture of experts, so that its experts are read while the layer before it computes.

Gate-ahead: the residual that the layer before looks at goes through this layer's norm and router, too. A residual
changes little from layer to layer, so most of what they name is what will be chosen:

    %20, %21 = route      %19, blk.3.ffn_gate_inp.weight
         %f0 = rms_norm   %15, blk.4.ffn_norm.weight             %15: what %19 is the norm of
    %f1, %f2 = route      %f0, blk.4.ffn_gate_inp.weight
               foresee    %f1, blk.4.ffn_gate_exps.weight, ...

The layer after that is asked too, for fewer experts. What the first router will see is guessed from the embedding,
while attention computes.

Transitions: `foresee` is given the ids of the layer before, and statistics say what follows them; the last layer's
ids speak of the next token's first. Numbers stay in either case.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from ostinato.model.weights import StoredTensor, WeightExpr
from ostinato.program.ir import Instruction, Program
from ostinato.program.verify import operands_of

_PREPARE = ("rms_norm", "layer_norm", "scale")  # what lies between a residual and what is computed of it
_LOOK = ("linear", "gated", "route")


class Foresight(Enum):
    """By what experts are guessed."""

    GATE = "gate"
    TRANSITIONS = "transitions"


@dataclass(frozen=True)
class Unforeseen:
    """A mixture of experts that is streamed without hints, and why."""

    layer: int
    reason: str


@dataclass(frozen=True)
class _Look:
    """An instruction and the residual that it looks at, through `chain`: norms and scales, perhaps none."""

    number: int  # of the instruction
    instruction: Instruction
    residual: str
    chain: tuple[Instruction, ...]


@dataclass(frozen=True)
class _Mixture:
    """One mixture of experts: its router, and the weights of its experts."""

    look: _Look
    stack: tuple[WeightExpr | None, ...]  # gate?, up, down

    @property
    def route(self) -> Instruction:
        return self.look.instruction


def foresee(
    program: Program, tensors: Mapping[str, StoredTensor], streamed: Callable[[Instruction], bool],
    by: Foresight = Foresight.GATE, parts: Sequence[float] = (1.0,),
) -> tuple[Program, tuple[Unforeseen, ...]]:  # fmt: skip
    """The program with hints for every `experts` that is streamed, to be verified; and those that have none.

    `parts`: how many experts are hinted for a row, of the number that it will use, from the layer before them, from
    the one before that (gates only), and so on; the most likely ones, rounded up.
    """
    looks = _looks(program)
    mixtures, left = _mixtures(program, looks, streamed)
    draft = _Draft(program, tensors)
    for number, mixture in enumerate(mixtures):
        if by is Foresight.TRANSITIONS:
            draft.after(mixtures[number - 1], mixture, parts[0])
            continue
        before = _before(program, looks, mixture)
        if not before:
            left.append(Unforeseen(mixture.route.layer, "nothing before it looks at the residual"))
        for look, part in zip(before, parts, strict=False):
            draft.ahead(look, mixture, part)
    return draft.program(), tuple(left)


def _looks(program: Program) -> list[_Look]:
    """Routers, and products of a norm: whatever looks at the residual."""
    made = {name: i for i in program.instructions for name in i.outputs}
    looks = []
    for number, instruction in enumerate(program.instructions):
        if instruction.op not in _LOOK:
            continue
        chain: list[Instruction] = []
        value = str(instruction.inputs[0])
        while made[value].op in _PREPARE:
            chain.insert(0, made[value])
            value = str(made[value].inputs[0])
        if chain or instruction.op == "route":
            looks.append(_Look(number, instruction, value, tuple(chain)))
    return looks


def _mixtures(
    program: Program, looks: Iterable[_Look], streamed: Callable[[Instruction], bool]
) -> tuple[list[_Mixture], list[Unforeseen]]:
    """Those that are streamed, in order, each with its router; and those of which the router is not found."""
    routers = {look.instruction.outputs[0]: look for look in looks if look.instruction.op == "route"}
    ids = {i.outputs[0]: str(i.inputs[0]) for i in program.instructions if i.op == "group"}
    found, left = [], []
    for i in program.instructions:
        if i.op != "experts" or not streamed(i):
            continue
        look = routers.get(ids.get(str(i.inputs[1]), ""))
        if look is None:
            left.append(Unforeseen(i.layer, "its order is not that of a router"))
        else:
            found.append(_Mixture(look, i.weights[:3]))
    return found, left


def _before(program: Program, looks: Sequence[_Look], mixture: _Mixture) -> list[_Look]:
    """From where the mixture's router may look ahead, the nearest first: of every layer before it the router, or what
    last looks at the residual there; at last, what looks at it first of all."""
    shape = program.values[mixture.look.residual]
    fits = [look for look in looks if look.number < mixture.look.number and program.values[look.residual] == shape]
    of_layer: dict[int, _Look] = {}
    for look in sorted(fits, key=lambda k: (k.instruction.op == "route", k.number)):
        if look.instruction.layer < mixture.route.layer:
            of_layer[look.instruction.layer] = look
    found = [of_layer[layer] for layer in sorted(of_layer, reverse=True)]
    first = min(fits, key=lambda look: look.number, default=None)
    return found if first is None or first in found else [*found, first]


class _Draft:
    """The program, and what will stand behind its instructions."""

    def __init__(self, program: Program, tensors: Mapping[str, StoredTensor]) -> None:
        self._program, self._tensors = program, tensors
        self._values = dict(program.values)
        self._behind: dict[int, list[Instruction]] = {}

    def ahead(self, before: _Look, mixture: _Mixture, part: float) -> None:
        """The mixture's router on the residual that `before` looks at."""
        value = before.residual
        for step in mixture.look.chain:
            value = self._add(before, replace(step, inputs=(value, *step.inputs[1:])))[0]
        route = mixture.route
        fields = {**route.fields, "top_k": self._wanted(mixture, part), "normalise": 0}
        weights = (*route.weights[:3], None)  # without gains: they weigh what is chosen
        ids = self._add(before, replace(route, inputs=(value,), weights=weights, fields=fields))[0]
        self._hint(before, ids, mixture, follow=0)

    def after(self, before: _Mixture, mixture: _Mixture, part: float) -> None:
        """What follows the ids of the mixture before."""
        self._hint(before.look, before.route.outputs[0], mixture, follow=self._wanted(mixture, part))

    def program(self) -> Program:
        instructions: list[Instruction] = []
        for number, instruction in enumerate(self._program.instructions):
            instructions += [instruction, *self._behind.get(number, ())]
        return replace(self._program, instructions=tuple(instructions), values=self._values)

    def _hint(self, before: _Look, ids: str, mixture: _Mixture, follow: int) -> None:
        """Where a router was asked, its own experts come first."""
        fields = {"follow": follow, "behind": int(before.instruction.op == "route")}
        self._add(before, Instruction("foresee", (), (ids,), mixture.stack, fields))

    def _wanted(self, mixture: _Mixture, part: float) -> int:
        """Experts of a row, no more than its router can choose."""
        route = mixture.route
        experts = operands_of(route, self._values, self._tensors).weight(0, 2).dims[0]
        most = experts // int(route.fields["groups"]) * int(route.fields["top_groups"])
        return min(math.ceil(int(route.fields["top_k"]) * part), most)

    def _add(self, before: _Look, draft: Instruction) -> tuple[str, ...]:
        """Puts it behind `before`, in that layer, and names what it makes."""
        shapes = draft.spec.shape(operands_of(draft, self._values, self._tensors))
        start = len(self._values) - len(self._program.values)
        names = tuple(f"%f{start + i}" for i in range(len(shapes)))
        self._values.update(zip(names, shapes, strict=True))
        made = replace(draft, outputs=names, layer=before.instruction.layer)
        self._behind.setdefault(before.number, []).append(made)
        return names
