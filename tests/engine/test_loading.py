"""Plans follow from the model, the options and the machine; what cannot be is refused with figures."""

from __future__ import annotations

import pytest

from ostinato.backends.choose import BackendError
from ostinato.backends.contract import KVType
from ostinato.engine.loading import Options, PlanError, open_model
from ostinato.gguf.errors import GGUFError
from tests.support import BUILTIN


def test_a_plan_holds_every_slot_at_full_context() -> None:
    plan = open_model(BUILTIN, Options(backend="null", context=100, max_sequences=5)).plan
    assert (plan.context, plan.blocks_per_sequence, plan.blocks) == (100, 7, 35)
    assert plan.kv_type is KVType.F16


@pytest.mark.parametrize("context", [-5, 0, 1, 10**12])
def test_a_context_that_cannot_be_is_refused(context: int) -> None:
    with pytest.raises(PlanError, match=f"a context of {context} positions: expected 2 to"):
        open_model(BUILTIN, Options(backend="null", context=context))


def test_unknown_backend() -> None:
    with pytest.raises(BackendError, match="no backend 'abacus'; there are: cpu"):
        open_model(BUILTIN, Options(backend="abacus"))


def test_no_such_file() -> None:
    with pytest.raises(GGUFError):
        open_model("no-such-file.gguf", Options(backend="null"))


@pytest.mark.parametrize("threads", [-1, 2**31 - 1])
def test_threads_that_cannot_be_are_refused(threads: int) -> None:
    with pytest.raises(PlanError, match=f"{threads} threads: expected 1 to"):
        open_model(BUILTIN, Options(backend="null", threads=threads))
