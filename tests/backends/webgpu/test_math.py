"""math.wgsl, turn.wgsl, divide.wgsl and bits.wgsl, function by function on the adapter at hand, against float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import wgpu

from ostinato.backends.webgpu import shaders
from tests.backends.webgpu.runner import device
from tests.backends.webgpu.support import needs_adapter

pytestmark = needs_adapter

FOLDER = Path(shaders.__file__).with_name("shaders")


def apply(expression: str, *files: str, **inputs: np.ndarray) -> np.ndarray:
    """float32 values of a WGSL expression of x (and y), for every element."""
    handle = device()[0].handle
    values = [np.ascontiguousarray(v).view(np.float32) for v in inputs.values()]
    buffers = [handle.create_buffer_with_data(data=v, usage=wgpu.BufferUsage.STORAGE) for v in values]
    out = handle.create_buffer(size=values[0].nbytes, usage=wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_SRC)
    text = [(FOLDER / f"{name}.wgsl").read_text() for name in files]
    for number, name in enumerate(inputs):
        text.append(f"@group(0) @binding({number}) var<storage, read> {name}_in: array<f32>;")
    text.append(f"@group(0) @binding({len(inputs)}) var<storage, read_write> out: array<f32>;")
    reads = " ".join(f"let {name} = {name}_in[i];" for name in inputs)
    text.append("@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {")
    text.append(f"let i = id.x; if (i < {values[0].size}u) {{ {reads} out[i] = {expression}; }} }}")
    module = handle.create_shader_module(code="\n".join(text))
    pipeline = handle.create_compute_pipeline(layout="auto", compute={"module": module, "entry_point": "main"})
    entries = [{"binding": i, "resource": {"buffer": b}} for i, b in enumerate([*buffers, out])]
    group = handle.create_bind_group(layout=pipeline.get_bind_group_layout(0), entries=entries)
    encoder = handle.create_command_encoder()
    compute = encoder.begin_compute_pass()
    compute.set_pipeline(pipeline)
    compute.set_bind_group(0, group)
    compute.dispatch_workgroups(-(-values[0].size // 64))
    compute.end()
    handle.queue.submit([encoder.finish()])
    return np.frombuffer(handle.queue.read_buffer(out), np.float32)


def units(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest error in units in the last place of the wanted values."""
    return float(np.max(np.abs(found - wanted) / np.spacing(np.abs(wanted).astype(np.float32))))


def test_exp() -> None:
    x = np.concatenate([np.linspace(-87, 88, 200_000), np.linspace(-1e-3, 1e-3, 1000)]).astype(np.float32)
    assert units(apply("exp_accurate(x)", "math", x=x), np.exp(x.astype(np.float64))) < 2.5
    far = np.array([-87.5, -1e4, -np.inf, 0.0, 89.0, 1e9], np.float32)
    found = apply("exp_accurate(x)", "math", x=far)
    assert found[:4].tolist() == [0, 0, 0, 1]
    assert np.isfinite(found).all()
    assert (found[4:] > 1.6e38).all()


def test_log() -> None:
    """Near 1, too, where the logarithm vanishes: Gumbel noise takes it of 1 - 2^-24."""
    x = np.concatenate([np.geomspace(1.2e-38, 3e38, 100_000), 1 - np.arange(1, 5000) * 2.0**-24]).astype(np.float32)
    assert units(apply("log_accurate(x)", "math", x=x), np.log(x.astype(np.float64))) < 3


def test_cos_and_sin() -> None:
    random = np.random.default_rng(1)
    x = np.concatenate([random.uniform(-2, 2, 20_000), random.uniform(-3e5, 3e5, 20_000), [0.0, 0.5, 2.0**30]])
    x = x.astype(np.float32)
    wide = x.astype(np.float64)
    assert np.abs(apply("cos_sin(x).x", "turn", x=x) - np.cos(wide)).max() < 2e-7
    assert np.abs(apply("cos_sin(x).y", "turn", x=x) - np.sin(wide)).max() < 2e-7


def test_division_is_rounded_to_nearest() -> None:
    random = np.random.default_rng(2)
    x, y = (random.uniform(1, 2, 50_000).astype(np.float32) * np.float32(2) ** random.integers(-60, 60, 50_000)
            for _ in range(2))  # fmt: skip
    x, y = x.astype(np.float32), y.astype(np.float32)
    assert np.array_equal(apply("divide_exactly(x, y)", "divide", x=x, y=y), x / y)
    tiny = np.float32(2.0**-120) * random.uniform(1, 300, 5000).astype(np.float32)
    wide = np.full(5000, 127, np.float32)
    assert np.array_equal(apply("divide_exactly(x, y)", "divide", x=tiny, y=wide), tiny / wide)


def test_every_float16() -> None:
    bits = np.arange(1 << 16, dtype=np.uint32)
    found = apply("float_of_half(bitcast<u32>(x))", "bits", x=bits)
    wanted = bits.astype(np.uint16).view(np.float16).astype(np.float32)
    numbers = ~np.isnan(wanted)
    assert np.array_equal(found[numbers].view(np.uint32), wanted[numbers].view(np.uint32))
    assert np.isnan(found[~numbers]).all()
