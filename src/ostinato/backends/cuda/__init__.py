"""The CUDA backend: packed weights on an NVIDIA card, CUDA C++ kernels for every row that is generated. In a budget of
the card's memory experts lie in pinned host memory, those wanted most on the card too.

Kernels are compiled for the card when a model is first loaded. Needs `pip install ostinato[cuda]`, and no torch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from ostinato.backends.contract import Plan, Probe, refuse_streaming
from ostinato.gguf.types_table import TensorType
from ostinato.model.weights import StoredTensor
from ostinato.program.ir import Programs

if TYPE_CHECKING:
    from ostinato.backends.cuda.driver import Driver, OpenDriver
    from ostinato.backends.cuda.executable import CudaExecutable


class CudaBackend:
    """The first NVIDIA card that CUDA_VISIBLE_DEVICES leaves. `open_driver` is for tests without one."""

    name = "cuda"

    def __init__(self, open_driver: OpenDriver | None = None) -> None:
        self._open_driver = open_driver

    def probe(self) -> Probe:
        """The card, its memory and what of the software is lacking; no context is made on it."""
        from ostinato.backends.cuda.probe import describe

        return describe(self.name)

    def compile(self, programs: Programs, tensors: Mapping[str, StoredTensor], plan: Plan) -> CudaExecutable:
        """Raises CompileError naming the op, type, memory or compiler that is lacking."""
        from ostinato.backends.cuda.executable import load

        refuse_streaming(self.name, plan)
        return load(self._open_driver or _open_card, programs, tensors, plan)


def _open_card(phases: Collection[str], decode: Collection[str], formats: Collection[TensorType]) -> Driver:
    from ostinato.backends.cuda.device import open_card

    return open_card(phases, decode, formats)
