"""Every shader there can be but for pairs of types: all phases, weight types and features, with the shapes of a small
model. Where a phase reads two weights, both are of each type, and of a few pairs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import combinations, product

from ostinato.backends.device.lower import Call
from ostinato.backends.device.phases_table import PHASES, Phase
from ostinato.backends.device.planes import FORMATS
from ostinato.backends.webgpu.adapter import FEATURES
from ostinato.backends.webgpu.shaders import assemble
from ostinato.gguf.types_table import TensorType
from ostinato.model.kinds_table import Activation, RopeStyle, Scoring

# A value for every shape word that has only one here; the others (types, sorts) take all they can.
_WORDS = {
    "width": 256, "dims": 64, "base": 10000.0, "scale": 0.125, "groups": 2, "eps": 1e-5, "n": 512,
    "k": 256, "stride": 512, "heads": 4, "kv_heads": 2, "key_dim": 64, "value_dim": 64,
    "cache": 0, "experts": 8, "top_k": 2, "normalise": 1, "vocab": 517, "axis": 1, "factor": 1,
}  # fmt: skip
_CHOICES = {
    "half": (0, 1), "has_bias": (0, 1), "has_factors": (0, 1), "group": (32, 256), "style": tuple(RopeStyle),
    "act": (Activation.SILU, Activation.GELU), "scoring": tuple(Scoring),
}  # fmt: skip
_PAIRS = ((TensorType.Q4_K, TensorType.F16), (TensorType.F32, TensorType.IQ4_NL), (TensorType.IQ4_XS, TensorType.Q5_K))


@dataclass(frozen=True)
class Shader:
    """WGSL whose entry point is `main`, and the values of its pipeline constants."""

    name: str
    code: str
    constants: dict[str, float]

    @property
    def phase(self) -> str:
        return self.name.split()[0]

    @property
    def substituted(self) -> str:
        """The text with its pipeline constants as constants, as translators without such values need it."""

        def constant(match: re.Match[str]) -> str:
            name, kind = match.groups()
            value = self.constants[name]
            return f"const {name}: {kind} = {f'{value}f' if kind == 'f32' else f'{value:.0f}u'};"

        text = re.sub(r"^override (\w+): (\w+);", constant, self.code, flags=re.MULTILINE)
        return re.sub(r"^override (?=\w+: \w+ =)", "const ", text, flags=re.MULTILINE)


@cache
def shaders() -> tuple[Shader, ...]:
    """Those that differ in text or constants. Names say phase, what was chosen, and features."""
    found: dict[object, Shader] = {}
    for phase in PHASES:
        for call, label in _calls(phase):
            for features in _feature_sets():
                constants = {name: float(value) for name, value in call.shapes().items()}
                code = assemble(call, features)
                name = " ".join((phase.name, *label, *(f"+{feature}" for feature in sorted(features))))
                found.setdefault((code, *constants.items()), Shader(name, code, constants))
    return tuple(found.values())


def _calls(phase: Phase) -> Iterator[tuple[Call, list[str]]]:
    """Calls of a phase, and what tells them apart."""
    shapes = [name.removesuffix(":f") for name in phase.shapes]
    chosen, typed = [name for name in shapes if name in _CHOICES], [name for name in shapes if name.endswith("_type")]
    names = [*chosen, *typed]
    fixed = {name: _WORDS[name] for name in shapes if name not in names}
    for chosen_values, types in product(product(*(_CHOICES[name] for name in chosen)), _types(len(typed))):
        values = (*chosen_values, *types)
        words = fixed | dict(zip(names, values, strict=True)) | dict.fromkeys(phase.places, 0)
        label = [f"{name}={getattr(value, 'name', value)}" for name, value in zip(names, values, strict=True)]
        yield Call(phase.name, words), label


def _types(count: int) -> Iterator[tuple[TensorType, ...]]:
    """Of `count` weights."""
    yield from ((kind,) * count for kind in (FORMATS if count else (TensorType.F32,)))
    yield from _PAIRS if count == 2 else ()


def _feature_sets() -> Iterator[frozenset[str]]:
    for count in range(len(FEATURES) + 1):
        yield from (frozenset(names) for names in combinations(FEATURES, count))
