"""Layers larger than memory: each is fetched before its weights are read and dropped behind them, the next two are
read ahead.

        fetch      parcel=4 next=5 after=7         6 is kept: it never goes
   %9 = linear     %8, blk.4.attn_q.weight
        ...
        drop       parcel=4

Layers are wanted in turn, so those that are kept stay, and the others pass through the slots that are left: one to
compute with and two being read. After the last come the first ones, of the next step.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from ostinato.program.ir import Instruction, Program
from ostinato.program.verify import VerifyError

AHEAD = 2  # parcels that are read ahead


def stream(
    program: Program, parcels_of: Callable[[Instruction], Collection[int]], kept: Collection[int] = ()
) -> Program:
    """The program with `fetch` and `drop` around every parcel's instructions, to be verified.

    `parcels_of` names the parcels that hold weights of an instruction; `kept` are those that stay.
    """
    first: dict[int, int] = {}  # of each parcel the first instruction and the last, in the order of the first
    last: dict[int, int] = {}
    for number, instruction in enumerate(program.instructions):
        for parcel in sorted(parcels_of(instruction)):
            first.setdefault(parcel, number)
            last[parcel] = number
    order = list(first)
    made: list[Instruction] = []
    for number, instruction in enumerate(program.instructions):
        own = sorted(set(parcels_of(instruction)))
        begin = [_fetch(parcel, _coming(parcel, order, kept)) for parcel in own if first[parcel] == number]
        end = [Instruction("drop", (), fields={"parcel": parcel}) for parcel in own if last[parcel] == number]
        made += [replace(i, layer=instruction.layer) if i.layer < 0 else i for i in (*begin, instruction, *end)]
    return replace(program, instructions=tuple(made))


def check_held(program: Program, parcels_of: Callable[[Instruction], Collection[int]]) -> None:
    """Raises VerifyError for the first instruction that reads a weight of a parcel which is not there."""
    held: set[int] = set()
    for number, instruction in enumerate(program.instructions):
        if instruction.op in ("fetch", "drop"):
            held ^= {int(instruction.fields["parcel"])}
        elif missing := sorted(set(parcels_of(instruction)) - held):
            where = f"{program.name}, instruction {number} ({instruction.op}, layer {instruction.layer})"
            raise VerifyError(f"{where}: reads of parcels {missing}, which are not there")


def _coming(parcel: int, order: Sequence[int], kept: Collection[int]) -> list[int]:
    """The parcels that will be read after this one: none that is kept, and not itself."""
    at = order.index(parcel)
    return [other for other in (*order[at + 1 :], *order[:at]) if other not in kept][:AHEAD]


def _fetch(parcel: int, coming: Sequence[int]) -> Instruction:
    following, after = [*coming, -1, -1][:AHEAD]
    return Instruction("fetch", (), fields={"parcel": parcel, "next": following, "after": after})
