"""The activation that a file states. The key is gguf's (Keys.LLM.HIDDEN_ACT), its words are those of transformers'
config.json (activations.ACT2FN), as converters copy them."""

from __future__ import annotations

from collections.abc import Mapping

from ostinato.model.kinds_table import Activation
from ostinato.model.reader import ModelError, Reader

ACTIVATION_KEY = "hidden_activation"
ACTIVATIONS: Mapping[str, Activation] = {
    "gelu": Activation.GELU_ERF,
    "gelu_fast": Activation.GELU,
    "gelu_new": Activation.GELU,
    "gelu_pytorch_tanh": Activation.GELU,
    "quick_gelu": Activation.QUICK_GELU,
    "relu": Activation.RELU,
    "relu2": Activation.RELU_SQUARED,
    "silu": Activation.SILU,
    "swiglu": Activation.SILU,
    "swish": Activation.SILU,
}


def read_activation(file: Reader, default: Activation) -> Activation:
    """`default`: of files that state none."""
    stated = file.get(ACTIVATION_KEY)
    if stated is None:
        return default
    if not isinstance(stated, str) or stated not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise ModelError(f"metadata '{file.architecture}.{ACTIVATION_KEY}' is {stated!r:.40}; supported: {known}")
    return ACTIVATIONS[stated]
