"""`ostinato bench --profile`: instructions of a kind together, their times beside what the machine does at most.

N calls a step of so many µs each, with so many bytes and operations each. The table fits a terminal of 80 columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ostinato.backends.contract import KVType
from ostinato.backends.profile import Profiling, Roofs, Times
from ostinato.cli.output import bold, size, table_lines
from ostinato.gguf.types_table import TensorType
from ostinato.model.weights import StoredTensor, resolve
from ostinato.program.cost import cost_of
from ostinato.program.ir import Instruction
from ostinato.program.ops_table import Cost, Load
from ostinato.program.printer import si

FLOATS = {TensorType.F32, TensorType.F16, TensorType.BF16, TensorType.F64}  # multiplied as float32, not as int8
HEADER = ("OP", "WEIGHTS", "N", "µs", "STEP", "BYTES", "GB/s", "ROOF", "OPS", "GOPS", "ROOF")
RIGHT = tuple(range(2, len(HEADER)))


@dataclass
class Kind:
    """Instructions of one op and type of weights, in one step."""

    op: str
    weights: str  # types of its matrices, or nothing
    quantised: bool
    calls: int = 0
    seconds: float = 0.0
    operations: float = 0.0
    bytes: float = 0.0

    def add(self, seconds: float, cost: Cost) -> None:
        self.calls += 1
        self.seconds += seconds
        self.operations += cost.flops
        self.bytes += cost.weight_bytes + cost.state_bytes


@dataclass(frozen=True)
class Roofline:
    """A mean step of one kind."""

    kind: str
    steps: int  # that were measured
    load: Load
    seconds: float
    kinds: Sequence[Kind]  # the longest first


def roofline(
    times: Times, tensors: Mapping[str, StoredTensor], context: int, sequences: int, kv_type: KVType
) -> Roofline:
    """`context`: positions that a row attends to, in the mean; `sequences`: those that share a step."""
    rows, logit_rows = round(times.rows / times.steps), round(times.logit_rows / times.steps)
    load = Load(rows, logit_rows, context, sequences, kv_type.element_bytes)
    kinds: dict[tuple[str, str], Kind] = {}
    for instruction, seconds in zip(times.program.instructions, times.seconds, strict=True):
        types = _matrix_types(instruction, tensors)
        key = instruction.op, "+".join(type.name for type in types)
        kind = kinds.setdefault(key, Kind(*key, quantised=bool(types) and not FLOATS.issuperset(types)))
        kind.add(float(seconds) / times.steps, cost_of(instruction, times.program, tensors, load))
    ordered = sorted(kinds.values(), key=lambda kind: -kind.seconds)
    return Roofline(times.kind, times.steps, load, times.step_seconds / times.steps, ordered)


def _matrix_types(instruction: Instruction, tensors: Mapping[str, StoredTensor]) -> list[TensorType]:
    """Types of its weights of two dimensions or more, each once, in the order of the operands."""
    views = [resolve(weight, tensors) for weight in instruction.weights if weight is not None]
    return list(dict.fromkeys(view.type for view in views if len(view.dims) > 1))


@dataclass(frozen=True)
class Profile:
    """Everything that was profiled, and the roofs over it."""

    rooflines: Sequence[Roofline]
    roofs: Roofs

    def lines(self) -> Iterator[str]:
        """A table for each, with a title, and what their shares are shares of."""
        for found in self.rooflines:
            yield ""
            yield bold(_title(found))
            yield from table_lines(_rows(found, self.roofs), HEADER, RIGHT)
        yield ""
        yield _roof_line(self.roofs)

    def as_json(self) -> dict[str, Any]:
        """Mean steps, with calls, seconds, operations and bytes of each kind of instruction; and the roofs."""
        return {"roofs": asdict(self.roofs), "steps": [asdict(found) for found in self.rooflines]}


class Profiler:
    """Profiles an executable through one number of sequences after another."""

    def __init__(self, executable: Profiling, tensors: Mapping[str, StoredTensor], kv_type: KVType) -> None:
        self._executable, self._tensors, self._kv_type = executable, tensors, kv_type
        self._found: list[Roofline] = []

    def start(self) -> None:
        self._executable.start_profile()

    def read(self, prompt: int, generated: int, sequences: int) -> None:
        """What ran since `start`: prompts of `prompt` tokens, and `generated` ones after each."""
        attended = {"prefill": (prompt + 1) // 2, "decode": prompt + (generated + 1) // 2}
        for times in self._executable.profile():
            if times.steps:
                context = attended[times.kind]
                self._found.append(roofline(times, self._tensors, context, sequences, self._kv_type))

    def report(self) -> Profile:
        return Profile(self._found, self._executable.roofs())


def _title(found: Roofline) -> str:
    rows = f"{found.load.rows} row" + "s" * (found.load.rows != 1)
    attended = f"{found.load.context} positions attended to"
    return f"{found.kind}: {rows}, {attended}, {1e3 * found.seconds:.2f} ms a step (mean of {found.steps})"


def _roof_line(roofs: Roofs) -> str:
    parts = [f"roofs: memory {roofs.bytes_per_second / 1e9:.1f} GB/s"]
    parts += [f"8-bit products {roofs.int8_per_second / 1e9:.0f} GOPS"] if roofs.int8_per_second else []
    parts += [f"float32 {roofs.f32_per_second / 1e9:.0f} GOPS"] if roofs.f32_per_second else []
    return ", ".join(parts) + " (measured)"


def _rows(found: Roofline, roofs: Roofs) -> list[tuple[str, ...]]:
    rest = found.seconds - sum(kind.seconds for kind in found.kinds)
    between = ("between", "", "", _figure(1e6 * rest), _percent(rest, found.seconds), *[""] * 6)
    return [*(_cells(kind, found.seconds, roofs) for kind in found.kinds), between]


def _cells(kind: Kind, step: float, roofs: Roofs) -> tuple[str, ...]:
    read, done = kind.bytes / kind.seconds, kind.operations / kind.seconds
    roof = roofs.int8_per_second if kind.quantised else roofs.f32_per_second
    return (
        kind.op,
        kind.weights,
        str(kind.calls),
        _figure(1e6 * kind.seconds / kind.calls),
        _percent(kind.seconds, step),
        size(kind.bytes / kind.calls) if kind.bytes else "",
        _figure(read / 1e9) if kind.bytes else "",
        _percent(read, roofs.bytes_per_second) if kind.bytes else "",
        si(kind.operations / kind.calls),
        _figure(done / 1e9) if kind.operations else "",
        _percent(done, roof) if kind.operations else "",
    )


def _figure(value: float) -> str:
    """A digit behind the point where there are few before it."""
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _percent(part: float, whole: float) -> str:
    """Blank where the whole is not known."""
    return f"{100 * part / whole:.0f} %" if whole else ""
