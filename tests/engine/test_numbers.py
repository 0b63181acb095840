"""A model whose numbers break fails the requests that meet them, and no others."""

from __future__ import annotations

import numpy as np
import pytest

from ostinato.backends.choose import choose
from ostinato.backends.contract import Plan
from ostinato.backends.sampling import Sampling
from ostinato.engine.engine import Engine
from ostinato.engine.local import LocalPort
from ostinato.engine.records_table import FinishReason
from ostinato.engine.request import Request
from ostinato.gguf.types_table import TensorType
from ostinato.model.weights import Tensor
from ostinato.program.builder import Builder
from ostinato.program.ir import CacheGroup, Programs
from tests.backends.cases import Weights

VOCAB, BROKEN = 64, 7


def programs(weights: Weights) -> Programs:
    """Attention over embeddings; whoever reads token 7 has no numbers left."""
    b = Builder(weights.tensors)
    b.caches.append(CacheGroup("full", 1, 1, 32, 32))
    x = b.add("embed", weights=(Tensor("table"),))
    kv = b.add("linear", x, weights=(weights.normal("kv", (32, VOCAB), TensorType.F32), None))
    b.add("append", kv, kv, cache=0, index=0)
    a = b.add("attend", kv, cache=0, index=0, heads=1, kv_heads=1, key_dim=32, value_dim=32, scale=0.2)
    y = b.add("linear", a, weights=(weights.normal("out", (VOCAB, 32), TensorType.F32), None))
    y = b.add("select", y)
    b.add("sample", y)
    program = b.program("fragile", {"logits": y}, VOCAB)
    return Programs(program, program)


BACKENDS_UNDER_TEST = ("cpu", "reference")


@pytest.mark.parametrize("run_steps", [1, 5])
@pytest.mark.parametrize("backend", BACKENDS_UNDER_TEST)
def test_only_the_broken_request_fails(backend: str, run_steps: int) -> None:
    weights = Weights(3)
    table = np.random.default_rng(0).normal(size=(VOCAB, VOCAB)).astype(np.float32)
    table[BROKEN] = np.nan
    weights.put("table", table)
    compiled = programs(weights)
    plan = Plan(max_rows=16, max_sequences=4, max_logit_rows=4, context=64, blocks=32, threads=1)
    executable = choose(backend).compile(compiled, weights.tensors, plan)
    port = LocalPort(plan, 1, capacity=4)
    engine = Engine(executable, plan, compiled.caches, port.table, port, run_steps)
    avoid = Sampling(temperature=0, logit_bias=((BROKEN, -100.0),))
    streams = [port.submit(Request(p, 8, avoid)) for p in ([1, 2, 3], [4, BROKEN], [5, 6])]
    while engine.step():
        pass
    engine.check_integrity()
    ends = [stream.finish for stream in streams if stream is not None]
    assert ends == [FinishReason.LENGTH, FinishReason.NUMBERS, FinishReason.LENGTH]
    assert [e.token for e in streams[1].events] == [-1]  # type: ignore[union-attr]
    executable.close()
