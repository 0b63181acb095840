"""Which calls of a program have a prompt kernel, and how it is launched for a step's prompt rows.

The other rows, and calls without one (float weights, gate and up of different types), stay with the CUDA C++ phases.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ostinato.backends.cuda.prompt.manifest import BLOCK_M, BLOCK_N, CUBINS, FORMATS, KERNELS, MANIFEST
from ostinato.backends.device.lower import Call
from ostinato.backends.device.planes import row_bytes
from ostinato.gguf.types_table import TensorType
from ostinato.model.kinds_table import Activation
from ostinato.model.weights import WeightExpr


@dataclass(frozen=True)
class Launch:
    """One launch: arguments in the kernel's order (addresses and int32 alike), grid (x, y, 1)."""

    kernel: str
    arguments: tuple[int, ...]
    grid: tuple[int, int]


@dataclass(frozen=True)
class Addresses:
    """Where things are on the device: the arena's first byte, and each weight's."""

    arena: int
    weight: Callable[[WeightExpr], int]

    def at(self, word: int | float) -> int:
        return self.arena + 4 * int(word)


@dataclass(frozen=True)
class PromptCall:
    """A call that a prompt kernel computes; `source` is the word of its float32 activations."""

    call: Call
    kernel: str
    source: int

    def launch(self, rows: int, where: Addresses) -> Launch:
        """For `rows` prompt rows (of the call's axis, its factor counted)."""
        words = {name: int(value) for name, value in self.call.words.items()}
        weights = {f"weight {i}": where.weight(w) for i, w in enumerate(self.call.weights) if w is not None}
        values = words | {name: where.at(words[name]) for name in ("out", "order", "offsets") if name in words}
        values |= {
            "x": where.at(self.source), "rows": rows, "first_expert": words["first"],
            "row_bytes": row_bytes(_formats(self.call)[0], words["k"]),
            "weight": weights.get("weight 0", 0), "gate": weights.get("weight 0", 0),
            "down": weights.get("weight 0", 0), "up": weights.get("weight 1", 0),
            "bias": weights.get("weight 1", 0) + 4 * words["first"] if words.get("has_bias") else 0,
            "gelu": int(words.get("act") == Activation.GELU),
        }  # fmt: skip
        tiles = -(-rows // BLOCK_M)
        if self.call.phase != "linear":  # every expert's last tile may be a small one
            tiles = -(-rows * words["top_k"] // BLOCK_M) + words["experts"]
        arguments = tuple(values[name] for name in KERNELS[self.call.phase])
        return Launch(self.kernel, arguments, (-(-words["n"] // BLOCK_N), tiles))


def prompt_calls(calls: Sequence[Call]) -> dict[int, PromptCall]:
    """By index in `calls`: those that have a prompt kernel. What `pack` packed is their source."""
    packed: dict[int | float, int] = {}
    found: dict[int, PromptCall] = {}
    for index, call in enumerate(calls):
        if call.phase == "pack":
            packed[call.words["out"]] = int(call.words["x"])
        formats = {kind.name for kind in _formats(call)} if call.phase in KERNELS else set()
        if len(formats) == 1 and formats <= set(FORMATS):
            source = call.words["gate_x" if call.phase == "experts_in" else "x"]
            kernel = f"{call.phase}_{formats.pop().lower()}"
            found[index] = PromptCall(call, kernel, packed[source])
    return found


def _formats(call: Call) -> list[TensorType]:
    names = ("weight_type", "gate_type", "up_type", "down_type")
    return [TensorType(int(call.words[name])) for name in names if name in call.words]


class Cubins:
    """The kernels compiled for one architecture."""

    def __init__(self, architecture: int) -> None:
        self._architecture = architecture
        self._launches: Mapping[str, Mapping[str, int]] = json.loads(MANIFEST.read_text())["launches"]

    @classmethod
    def for_capability(cls, major: int, minor: int) -> Cubins | None:
        """The newest that a card of this compute capability runs: same major number, minor not above. None: none."""
        built = {int(path.stem.removeprefix("sm_")) for path in CUBINS.glob("sm_*.zip")}
        fitting = [a for a in built if a // 10 == major and a % 10 <= minor]
        return cls(max(fitting)) if fitting else None

    def image(self, kernel: str) -> bytes:
        """The cubin; its one function has the name of the source's kernel (`entry`)."""
        with zipfile.ZipFile(CUBINS / f"sm_{self._architecture}.zip") as archive:
            return archive.read(kernel)

    @staticmethod
    def entry(kernel: str) -> str:
        """Name of the function in a kernel's cubin."""
        return next(name for name in KERNELS if kernel.startswith(f"{name}_"))

    def resources(self, kernel: str) -> tuple[int, int, int]:
        """Warps of a block, bytes of dynamic shared memory, null pointers that follow the arguments."""
        launch = self._launches[f"{kernel} sm_{self._architecture}"]
        return launch["warps"], launch["shared"], launch["scratch"]
