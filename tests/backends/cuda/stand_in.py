"""Run by test_device.py in a process whose libcuda.so.1 is fake_driver.cpp: the backend as on a card, to the last call.

Prints what was drawn, as JSON. A second argument is the share of experts that a budget of the card's memory
holds; they never rest.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ostinato.backends.batch import Batch, Span
from ostinato.backends.batch_table import Kind
from ostinato.backends.choose import BACKENDS
from ostinato.backends.contract import Executable, Plan
from ostinato.backends.cuda import CudaBackend, device
from ostinato.backends.cuda.compiler import Unit
from ostinato.backends.cuda.executable import CudaExecutable
from ostinato.backends.cuda.slots import Slots
from ostinato.engine.loading import Options, open_model
from tests.backends.cuda.budgets import Restless, budget_of
from tests.backends.drive import generate

PROMPTS = [[5, 80, 13, 200, 31], [11, 7], [3, 3, 60], *([token] for token in range(40, 47))]
OPTIONS = {"context": 48, "max_sequences": 10, "max_rows": 32}


def drawn(executable: Executable, plan: Plan) -> list[list[list[int]]]:
    """Single steps; a run of three sequences and one of ten, which are done in different ways."""
    out = [generate(executable, plan, PROMPTS, 8)]
    for count in (3, 10):
        first = generate(executable, plan, PROMPTS, 1)[:count]
        spans = [Span(slot, Kind.GENERATED, len(PROMPTS[slot]), None, 1, sample=True) for slot in range(count)]
        executable.submit(Batch(spans, steps=7))
        executable.submit(Batch([])) if count == 3 else None
        while True:
            result = executable.collect()
            first = [row + tokens.tolist() for row, tokens in zip(first, result.tokens, strict=True)]
            if not result.more:
                break
        executable.collect() if count == 3 else None
        out.append(first)
    return out


def names_for_cubins(_: object, target: int, wanted: Sequence[Unit]) -> dict[str, bytes]:
    assert target == int(os.environ["OSTINATO_CAPABILITY"])
    return {unit.kernel: unit.kernel.encode() + b"\0" for unit in wanted}


def unrest(executable: Executable) -> Slots:
    """Experts move at every look."""
    assert isinstance(executable, CudaExecutable)
    assert executable.keeper is not None
    slots = executable.keeper.slots
    executable.keeper.policy = Restless(slots.plan, slots.residents)
    return slots


def main(path: Path, share: str = "") -> None:
    device.compile_units = names_for_cubins
    BACKENDS["cuda"] = CudaBackend  # type: ignore[index]
    opened = open_model(path, Options(backend="cuda", **OPTIONS))
    if share:
        opened = replace(opened, plan=budget_of(opened, float(share)))
    executable = opened.compile()
    slots = unrest(executable) if share else None
    result = drawn(executable, opened.plan)
    executable.close()
    library = ctypes.CDLL("libcuda.so.1")
    library.stand_in_used.restype = ctypes.c_size_t
    assert library.stand_in_used() == 0, "memory was not given back"
    print(json.dumps({"drawn": result, "probe": CudaBackend().probe().device, "moves": slots.moves if slots else 0}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
