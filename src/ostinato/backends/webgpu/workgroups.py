"""How many workgroups a call gets. Shaders loop over their items: any number computes the same, at another speed."""

from __future__ import annotations

from dataclasses import dataclass

from ostinato.backends.device.lower import Call


@dataclass(frozen=True)
class StepSize:
    """Rows of a step, as far as the number of workgroups depends on them."""

    rows: int  # T
    logit_rows: int  # R


def workgroups(call: Call, size: StepSize) -> int:
    return 64
