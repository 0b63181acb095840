"""Whether a planned file would be a model: nothing is missing, nothing is left over."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from types import SimpleNamespace

import numpy as np

from ostinato.convert.errors import ConvertError
from ostinato.convert.plan import Planned, elements
from ostinato.gguf.encode import Addable
from ostinato.gguf.types_table import TensorType
from ostinato.model.architectures import read_spec

_ONE = np.ones(1, np.float32).view(np.uint8)  # of tensors whose value is a part of the specification
_LAYER = re.compile(r"blk\.(\d+)\.(.+)")


def check_model(
    metadata: Mapping[str, Addable],
    tensors: Collection[Planned],
    types: Mapping[str, TensorType],
    extras: Mapping[str, np.ndarray],
) -> None:
    """Reads the model as an engine would. ConvertError says what is wrong."""
    stored = {
        planned.name: SimpleNamespace(name=planned.name, type=types[planned.name], shape=elements(planned), data=_ONE)
        for planned in tensors
    }
    made = {name: SimpleNamespace(name=name, type=TensorType.F32, shape=v.shape) for name, v in extras.items()}
    try:
        read_spec(SimpleNamespace(metadata=metadata, tensors=stored | made))
    except ValueError as error:
        raise ConvertError(f"the converted model would not load: {error}") from None


def check_layers(tensors: Collection[Planned], count: int) -> None:
    """Layers differ in kind, but none has only a part of what another one has: it would lack a norm or a bias, which
    a model may do without. Layers behind `count` (for prediction ahead) have more, and are not looked at."""
    parts: dict[int, set[str]] = defaultdict(set)
    for planned in tensors:
        if match := _LAYER.fullmatch(planned.name):
            parts[int(match[1])].add(match[2])
    kinds = {frozenset(names): layer for layer, names in parts.items() if layer < count}
    for names, layer in kinds.items():
        for more, other in kinds.items():
            if names < more:
                raise ConvertError(f"layer {layer} has no tensor {min(more - names)!r}, which layer {other} has")
