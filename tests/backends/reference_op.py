"""One op of the reference by itself: operands that a test does not give are absent, fields are the table's defaults."""

from __future__ import annotations

from typing import Any

import numpy as np

from ostinato.backends.batch import Batch
from ostinato.backends.contract import Plan
from ostinato.backends.reference import ops
from ostinato.backends.reference.recurrent import Recurrent
from ostinato.backends.stepstate import Rows, StepState
from ostinato.program.ops_table import BY_NAME


def step(rows: Rows, plan: Plan, batch: Batch | None = None, state: StepState | None = None, **more: Any) -> ops.Step:
    """What an op may look at. `more`: caches."""
    return ops.Step(
        batch or Batch([]), rows, state or StepState(Plan(), 0), more.get("caches", []), Recurrent((), 0), plan, []
    )


def call(name: str, at: ops.Step | None, *operands: np.ndarray, **fields: float) -> Any:
    """The op's outputs. `operands`: inputs, then weights, as the table lists them; those left out are None."""
    spec = BY_NAME[name]
    absent = [None] * (len(spec.inputs) + len(spec.weights) - len(operands))
    defaults = {field.name: field.default for field in spec.fields if field.default is not None}
    return getattr(ops, name)(at, *operands, *absent, **{**defaults, **fields})
