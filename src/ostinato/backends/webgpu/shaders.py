"""Shaders, put together: WGSL text for a call, from the tables, the prelude and the files in shaders/.

A shader uses what other files define (`_NEEDS`). Weights are read through the functions of their block format, one
file each in shaders/blocks, made for an operand by its name: where `gate` is of type Q4_K, `chunk_q4_k`, which reads
`stored`, becomes `gate_chunk`, which reads `gate`; `operand_products` of matmul_blocks becomes `gate_products`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from ostinato.backends.device.lower import Call
from ostinato.backends.device.phases_table import BY_NAME, Phase
from ostinato.backends.emit import wgsl_call, wgsl_records
from ostinato.backends.webgpu.bindings import WEIGHTS
from ostinato.gguf.grids_table import FP4_VALUES, IQ4_VALUES
from ostinato.gguf.types_table import TensorType

_FOLDER = Path(__file__).with_name("shaders")


@dataclass(frozen=True)
class _Format:
    """The file of a block format, what an array of its weights is made of, whether it gives chunks or floats, what its
    codes of four bits mean where it has such, and the files it takes from."""

    name: str
    element: str = "vec4<u32>"
    quantised: bool = True
    codes: tuple[int, ...] = ()
    needs: tuple[str, ...] = ()


_FORMATS: Mapping[TensorType, _Format] = {
    TensorType.F32: _Format("f32", "f32", False),
    TensorType.F16: _Format("f16", "u32", False),
    TensorType.BF16: _Format("bf16", "u32", False),
    TensorType.Q4_0: _Format("q4_0"),
    TensorType.Q4_1: _Format("q4_1"),
    TensorType.Q5_0: _Format("q5_0"),
    TensorType.Q5_1: _Format("q5_1"),
    TensorType.Q8_0: _Format("q8_0"),
    TensorType.Q2_K: _Format("q2_k"),
    TensorType.Q3_K: _Format("q3_k"),
    TensorType.Q4_K: _Format("q4_k", needs=("six_bits",)),
    TensorType.Q5_K: _Format("q5_k", needs=("six_bits",)),
    TensorType.Q6_K: _Format("q6_k"),
    TensorType.IQ4_NL: _Format("iq4_nl", codes=IQ4_VALUES),
    TensorType.IQ4_XS: _Format("iq4_xs", codes=IQ4_VALUES),
    TensorType.MXFP4: _Format("mxfp4", codes=FP4_VALUES),
}

# Phases that multiply, and so need the products of their operands; `embed` needs single elements.
_MULTIPLYING = frozenset({"linear", "experts_in", "experts_out"})

# What a file takes from others.
_NEEDS: Mapping[str, tuple[str, ...]] = {
    "activate": ("math",),
    "angles": ("divide", "turn"),
    "append": ("half", "kv"),
    "attend": ("divided", "split"),
    "attend_merge": ("divided", "partials", "softmax"),
    "attend_split": ("divided", "partials", "split"),
    "begin": ("packet", "slots"),
    "chunk": ("bits",),
    "experts_in": ("activate", "buckets"),
    "experts_out": ("buckets",),
    "finish": ("packet", "slots", "stop"),
    "glu": ("activate",),
    "group": ("scan",),
    "keep": ("math", "order", "tree"),
    "kv": ("slots",),
    "pack": ("divide",),
    "parts": ("chunk",),
    "penalise": ("order", "slots"),
    "report": ("math", "order", "tree"),
    "rms_norm": ("tree",),
    "route": ("math", "order", "tree"),
    "rows": ("packet", "scan", "slots"),
    "sample": ("keep", "math", "order", "penalise", "philox", "report", "slots"),
    "softmax": ("math", "tree"),
    "split": ("kv", "softmax", "tree"),
    "stop": ("slots",),
}


def assemble(call: Call, features: Collection[str]) -> str:
    """The shader of `call` on an adapter with `features` (names of adapter.FEATURES). The same for all calls of a
    phase with equal shapes."""
    phase = BY_NAME[call.phase]
    operands = {
        name: _FORMATS[TensorType(int(call.words[f"{name}_type"]))]
        for name in phase.weights
        if f"{name}_type" in phase.shapes
    }
    tables = (*wgsl_records(), *wgsl_call(phase), *_weights(phase, operands))
    parts = ["\n".join(tables), _read("prelude"), *_constants(call, phase)]
    parts += [_read(name) for name in _files(phase, operands, features)]
    for name, form in operands.items():
        parts += _operand(name, form, phase.name in _MULTIPLYING)
    return "\n".join((*parts, _read(phase.name)))


def _weights(phase: Phase, operands: Mapping[str, _Format]) -> Iterator[str]:
    """Bindings of the phase's weights. Those without a type of their own (gains, biases) are floats."""
    for index, name in enumerate(phase.weights):
        element = operands[name].element if name in operands else "f32"
        yield f"@group(0) @binding({WEIGHTS + index}) var<storage, read> {name}: array<{element}>;"


def _constants(call: Call, phase: Phase) -> Iterator[str]:
    """What the files expect beside a phase's own words."""
    if any(name.endswith("_type") for name in phase.shapes):
        yield f"override columns: u32 = {'k' if 'k' in phase.shapes else 'width'};  // of a weight row"
    if phase.name == "angles":
        frequencies = _frequencies(int(call.words["dims"]), float(call.words["base"]))
        values = ", ".join(f"{value!r}" for value in frequencies)
        yield f"var<private> frequencies: array<f32, {len(frequencies)}> = array<f32, {len(frequencies)}>({values});"


def _frequencies(dims: int, base: float) -> list[float]:
    """base^(-2i/dims) in float32, as the reference has them."""
    exponent = np.arange(0, dims, 2, dtype=np.float32) / np.float32(dims)
    return [float(value) for value in np.float32(base) ** -exponent]


def _files(phase: Phase, operands: Mapping[str, _Format], features: Collection[str]) -> list[str]:
    """Names of the files that stand before the operands and the phase's own, each after those that it needs."""
    wanted = list(_NEEDS.get(phase.name, ()))
    if "axis" in phase.shapes:
        wanted.append("counts")
    if operands:
        wanted += ["chunk", *(name for form in operands.values() for name in form.needs)]
    if phase.name in _MULTIPLYING:
        wanted.append("tiles")
        kinds = {form.quantised for form in operands.values()}
        wanted += ["dot4_builtin" if "dot4I8Packed" in features else "dot4_portable", "parts"] if True in kinds else []
        wanted += ["lanes"] if False in kinds else []
    return list(dict.fromkeys(name for part in wanted for name in _in_order(part)))


def _in_order(name: str) -> list[str]:
    """A file and all that it needs, what is needed first."""
    return [*(found for needed in _NEEDS.get(name, ()) for found in _in_order(needed)), name]


def _operand(name: str, form: _Format, multiplied: bool) -> Iterator[str]:
    """The functions by which a phase reads weight `name`, and its products where it is multiplied."""
    if form.codes:
        words = np.array(form.codes, "i1").view("<u4")
        yield f"const {name}_table = vec4<u32>({', '.join(f'{word:#010x}u' for word in words)});"
    text = re.sub(rf"\b(\w+)_{form.name}\b", rf"{name}_\1", _read(f"blocks/{form.name}"))
    yield re.sub(r"\bstored\b", name, text)
    wanted = ["codes"] if form.codes else []
    if multiplied:
        wanted.append("matmul_blocks" if form.quantised else "matmul_floats")
    elif form.quantised:
        wanted.append("dequantise")
    yield from (re.sub(r"\boperand_", f"{name}_", _read(part)) for part in wanted)


@cache
def _read(name: str) -> str:
    return (_FOLDER / f"{name}.wgsl").read_text(encoding="utf-8")
