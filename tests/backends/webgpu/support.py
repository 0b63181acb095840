"""What tests of the WebGPU backend share: whether there is an adapter, and a small model that generates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest

from ostinato.backends.contract import Plan
from ostinato.backends.webgpu import Restriction, WebGpuBackend
from ostinato.gguf.types_table import TensorType
from ostinato.model.kinds_table import Activation
from ostinato.model.weights import StoredTensor
from ostinato.program.builder import Builder
from ostinato.program.ir import CacheGroup, Programs
from tests.backends.cases import Weights

if TYPE_CHECKING:
    from ostinato.backends.webgpu.executable import WebGpuExecutable

PROBE = WebGpuBackend().probe()
needs_adapter = pytest.mark.skipif(not PROBE.available, reason=f"no WebGPU here: {PROBE.device}")

VOCAB, WIDTH, HEADS, LAYERS = 160, 64, 4, 2
PLAN = Plan(max_rows=64, max_logit_rows=16, max_sequences=6, context=96, blocks=80, block_size=8)


def model(kind: TensorType = TensorType.Q8_0) -> tuple[Programs, Mapping[str, StoredTensor]]:
    """Two layers of attention and a gated feed-forward with random weights, those of the layers of type `kind`."""
    weights = Weights(3)
    b = Builder(weights.tensors)
    head = WIDTH // HEADS
    b.caches.append(CacheGroup("full", LAYERS, HEADS, head, head))

    def matrix(name: str, n: int, k: int = WIDTH) -> tuple[object, None]:
        return weights.normal(name, (n, k), kind), None

    def norm(name: str, x: str) -> str:
        return b.add("rms_norm", x, weights=(weights.normal(name, (WIDTH,), TensorType.F32, 1.0),), eps=1e-5)

    table = weights.normal("table", (VOCAB, WIDTH), TensorType.F32, 1.0)
    x = b.add("embed", weights=(table,))
    for layer in range(LAYERS):
        h = norm(f"{layer}.norm", x)
        q, k, v = (b.add("linear", h, weights=matrix(f"{layer}.{name}", WIDTH)) for name in "qkv")
        b.add("append", k, v, cache=0, index=layer)
        y = b.add("attend", q, cache=0, index=layer, heads=HEADS, kv_heads=HEADS, key_dim=head, value_dim=head,
                  scale=head**-0.5)  # fmt: skip
        x = b.add("add", x, b.add("linear", y, weights=matrix(f"{layer}.o", WIDTH)))
        gate, up = (b.add("linear", x, weights=matrix(f"{layer}.{name}", 96)) for name in ("gate", "up"))
        inner = b.add("glu", gate, up, act=Activation.SILU)
        x = b.add("add", x, b.add("linear", inner, weights=matrix(f"{layer}.down", WIDTH, 96)))
    logits = b.add("linear", norm("out", b.add("select", x)), weights=(table, None))
    b.add("sample", logits)
    program = b.program("small", {"logits": logits}, VOCAB)
    return Programs(program, program), weights.tensors


def compiled(plan: Plan = PLAN, restriction: Restriction | None = None) -> WebGpuExecutable:
    """The small model on the adapter at hand."""
    return WebGpuBackend(restriction or Restriction()).compile(*model(), plan)
