"""Profiling, for backends that can: how long every instruction took, and what the machine does at most.

Not among the contract's six methods: an executable that offers these three besides is a `Profiling`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ostinato.program.ir import Program

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Times:
    """What the steps of one kind took since profiling began."""

    kind: str  # "prefill": steps that held a prompt row; "decode": the others
    program: Program  # that ran them
    steps: int
    rows: int  # T of all steps together
    logit_rows: int  # R of all steps together
    step_seconds: float  # of the steps, with what happens before and after their instructions
    seconds: np.ndarray  # float64 [instructions]


@dataclass(frozen=True)
class Roofs:
    """The most that this machine does with the threads of the plan, measured; 0: nobody knows how to."""

    bytes_per_second: float  # read from memory
    int8_per_second: float  # operations on 8-bit integers, a multiply-add counting two
    f32_per_second: float  # likewise of float32


@runtime_checkable
class Profiling(Protocol):
    """An executable whose instructions can be timed."""

    def start_profile(self) -> None:
        """Times are added up from now on, from zero. No step may be in flight."""

    def profile(self) -> Sequence[Times]:
        """Of both kinds of steps. No step may be in flight."""

    def roofs(self) -> Roofs:
        """Measured by this call, in about half a second."""
