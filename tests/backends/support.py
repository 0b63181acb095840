"""The support table, docs/support.md: op x type x backend, generated from the cases.

    python -m tests.backends.support        compiles every case on every machine and writes the table

`test_cases.py` holds every machine to it: what the table claims agrees with the reference, what it does not claim is
refused with a CompileError.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from ostinato.backends.contract import CompileError, Plan
from ostinato.gguf.types_table import TensorType
from ostinato.program.ops_table import OPS
from tests.backends.cases import CASES, OpCase
from tests.backends.machines import CUDA_HOST, MACHINES, machine
from tests.support import ROOT

PATH = ROOT / "docs" / "support.md"
COLUMNS = {"cpu": "cpu", "webgpu": "webgpu", CUDA_HOST: "cuda"}  # by machine; the reference computes everything
HEAD = """# What runs where

Generated from the op cases (`tests/backends/cases.py`) by `python -m tests.backends.support`; the tests hold every
backend to it. `reference` computes everything; `sample` runs everywhere and has tests of its own (`test_sample.py`).
A name in brackets is a field or an operand of the op that not every backend knows (`attend[sinks]`).
The `cuda` column is what its kernels give when they are compiled for the host; not yet run on a card.

"""


def variant(case: OpCase) -> tuple[str, str]:
    """Op and type of a case: ("linear", "Q4_K"), ("attend[sinks]", "F16"), ("rope", "")."""
    op, *words = case.name.split()
    found = next((word for word in words if word.upper() in TensorType.__members__), "")
    return op, found.upper()


MAIN = {variant(case)[0] for case in CASES}  # with cases of their own, of all that they are


def shown(case: OpCase) -> set[tuple[str, str]]:
    """What a case stands for: its own op and type, and the ops it needs that have no case of their own."""
    others = {i.op for i in case.programs()[0].decode.instructions} - MAIN
    return {variant(case), *((op, "") for op in others)}


def claims() -> set[tuple[str, str, str]]:
    """(machine, op, type) that the table says is supported."""
    lines = [line for line in PATH.read_text().splitlines() if line.startswith("|")]
    machines = {column: name for name, column in COLUMNS.items()}
    columns = [cell.strip() for cell in lines[0].strip("|").split("|")][1:]
    found = set()
    for line in lines[2:]:
        op, *cells = (cell.strip().strip("`") for cell in line.strip("|").split("|"))
        for column, cell in zip(columns, cells, strict=True):
            found |= {(machines[column], op, "" if kind == "yes" else kind) for kind in cell.split()}
    return found


def compiles(case: OpCase, name: str) -> bool:
    """Whether the machine takes the case's program."""
    programs, tensors = case.programs()
    plan = Plan(max_rows=8, max_logit_rows=8, max_sequences=2, context=32, blocks=8, kv_type=case.kv_type, threads=1)
    try:
        machine(name).compile(programs, tensors, plan).close()
    except CompileError:
        return False
    return True


def render(supported: Iterable[tuple[str, str, str]]) -> str:
    """The table of (machine, op, type)."""
    cells: dict[tuple[str, str], list[str]] = defaultdict(list)
    order = [kind.name for kind in TensorType]
    for name, op, kind in sorted(supported, key=lambda claim: order.index(claim[2]) if claim[2] else -1):
        if (kind or "yes") not in cells[op, name]:
            cells[op, name].append(kind or "yes")
    rows = [["op", *COLUMNS.values()], ["---"] * (1 + len(COLUMNS))]
    place = {op.name: index for index, op in enumerate(OPS)}
    ops = sorted({op for op, _ in cells}, key=lambda op: (place[op.split("[")[0]], op))
    rows += ([f"`{op}`", *(" ".join(cells[op, name]) for name in COLUMNS)] for op in ops)
    return HEAD + "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def main() -> None:
    names = [name for name in MACHINES if name in COLUMNS]
    taken = [(name, case) for name in names for case in CASES if compiles(case, name)]
    PATH.write_text(render((name, *what) for name, case in taken for what in shown(case)))
    print(PATH.relative_to(ROOT))


if __name__ == "__main__":
    main()
