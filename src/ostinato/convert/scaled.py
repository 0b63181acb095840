"""Matrices of 8-bit floats with scales: one for a matrix, for each row, or for each square (DeepSeek's, 128 x 128).

`X.weight_scale_inv` and `X.weight_scale` are both what the 8-bit values are multiplied with (transformers,
integrations/finegrained_fp8.py); scales of activations do not concern a file of weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ostinato.convert.config import Config
from ostinato.convert.errors import ConvertError
from ostinato.convert.numbers import F8_E4M3, F8_E5M2, Array, to_float32
from ostinato.convert.safetensors import Source

_SCALES = ("_scale_inv", "_scale")
_OF_ACTIVATIONS = (".input_scale", ".k_scale", ".v_scale", ".activation_scale")
_SQUARE = (128, 128)


@dataclass(frozen=True)
class Scaled(Source):
    """A matrix whose values are stored / scale. `array` makes float32 of the whole of it."""

    scale: Source
    block: tuple[int, int]

    def array(self) -> Array:
        values = to_float32(np.frombuffer(self.memory, F8_E4M3, np.prod(self.shape), self.start).reshape(self.shape))
        scale = to_float32(self.scale.array())
        if scale.ndim == 2 and scale.shape[1] > 1:
            for axis, size in enumerate(self.block):
                scale = scale.repeat(size, axis)[(slice(None),) * axis + (slice(self.shape[axis]),)]
        return values * scale.reshape(-1, 1) if scale.ndim < 2 else values * scale


def join_scales(checkpoint: Mapping[str, Source], config: Config) -> dict[str, Source]:
    """The checkpoint with 8-bit matrices joined to their scales. ConvertError for one without, or of another size."""
    square = config.within("quantization_config").get("weight_block_size", default=list(_SQUARE))
    if not isinstance(square, list) or len(square) != 2 or not all(type(n) is int and n > 0 for n in square):
        raise ConvertError(f"config.json: 'weight_block_size' is {square!r:.40}; expected two sizes")
    joined = {name: source for name, source in checkpoint.items() if not name.endswith(_OF_ACTIVATIONS)}
    for name, source in checkpoint.items():
        if source.dtype not in (F8_E4M3, F8_E5M2):
            continue
        scale = next((joined.pop(name + end) for end in _SCALES if name + end in joined), None)
        if scale is None or source.dtype != F8_E4M3 or not _fits(source.shape, scale.shape, (square[0], square[1])):
            raise ConvertError(f"tensor {name!r:.120}: 8-bit floats {list(source.shape)} without scales that fit them")
        joined[name] = Scaled(
            name, np.dtype("<f4"), source.shape, source.start, source.memory, scale, (square[0], square[1])
        )
    return joined


def _fits(shape: tuple[int, ...], scale: tuple[int, ...], block: tuple[int, int]) -> bool:
    if len(shape) != 2:
        return False
    squares = tuple(-(-size // part) for size, part in zip(shape, block, strict=True))
    return scale in ((), (1,), (shape[0],), (shape[0], 1), squares)
