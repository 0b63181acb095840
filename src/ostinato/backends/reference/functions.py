"""Functions of numbers that several ops use: softmax and the activations, in float32."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from ostinato.model.kinds_table import Activation

Array = np.ndarray


def softmax(x: Array, axis: int) -> Array:
    shifted = np.exp(x - x.max(axis=axis, keepdims=True))
    total: Array = shifted / shifted.sum(axis=axis, keepdims=True)
    return total


def activation(x: Array, act: int) -> Array:
    """act(x), element by element."""
    made: Array = _ACTIVATIONS[Activation(act)](x).astype(np.float32)
    return made


def _sigmoid(x: Array) -> Array:
    with np.errstate(over="ignore"):  # exp(-x) = inf means 0
        made: Array = 1.0 / (1.0 + np.exp(-x))
    return made


def _gelu(x: Array) -> Array:
    inner = np.float32(np.sqrt(2.0 / np.pi)) * (x + np.float32(0.044715) * x**3)
    return np.float32(0.5) * x * (1.0 + np.tanh(inner))


_erf = np.vectorize(math.erf, otypes=[np.float32])

_ACTIVATIONS: Mapping[Activation, Callable[[Array], Array]] = {
    Activation.SILU: lambda x: x * _sigmoid(x),
    Activation.GELU: _gelu,
    Activation.GELU_ERF: lambda x: np.float32(0.5) * x * (1.0 + _erf(x / np.sqrt(np.float32(2)))),
    Activation.QUICK_GELU: lambda x: x * _sigmoid(np.float32(1.702) * x),
    Activation.RELU: lambda x: np.maximum(x, 0),
    Activation.RELU_SQUARED: lambda x: np.maximum(x, 0) ** 2,
    Activation.SIGMOID: _sigmoid,
    Activation.SOFTPLUS: lambda x: np.logaddexp(x, np.float32(0)),
    Activation.IDENTITY: lambda x: x,
}
