"""Prints the bytes that a process takes beyond its plan and the slots in it, once it has answered: what is worked in
and keys and values too, of which this model has next to nothing. python -m tests.memory.growth"""

from __future__ import annotations

import os
from dataclasses import replace

from ostinato.api import Model
from ostinato.memory.machine import process_bytes
from tests.memory.streamed import OPTIONS, opened_with

PART = 0.5  # of the experts, in slots


def main() -> None:
    with opened_with(PART, options=replace(OPTIONS, max_rows=64)) as opened:
        residency = opened.plan.residency
        assert residency is not None
        before, slots = process_bytes(os.getpid()), residency.plan(0).slot_bytes
        with Model(opened) as model:
            model.generate_many([[1, 2, 3] * 40, [5, 6, 7]], max_tokens=40, ignore_eos=True)
            print(process_bytes(os.getpid()) - before - slots)


if __name__ == "__main__":
    main()
