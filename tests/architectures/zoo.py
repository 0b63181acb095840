"""Small random models of every architecture: what `transformers` is asked to build.

A row costs a line or two: the configuration's class, and what differs from SMALL. Sizes are chosen so that rows hold
whole 256-element blocks, heads are shared unevenly, and no two sizes that could be mixed up are equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VOCAB = 384
CONTEXT = 1024
SMALL: Mapping[str, Any] = {
    "vocab_size": VOCAB, "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 3,
    "num_attention_heads": 8, "num_key_value_heads": 4, "max_position_embeddings": CONTEXT,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "tie_word_embeddings": False,
}  # fmt: skip


@dataclass(frozen=True)
class Animal:
    """One small model: `config` names a configuration class of transformers, whose causal language model is built.

    `changes` to SMALL (None removes a value).
    """

    config: str
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def arguments(self) -> dict[str, Any]:
        return {name: value for name, value in {**SMALL, **self.changes}.items() if value is not None}


def _llama3(factor: float) -> dict[str, Any]:
    return {
        "rope_type": "llama3", "rope_theta": 10000.0, "factor": factor, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 256,
    }  # fmt: skip


ZOO: Mapping[str, Animal] = {
    "llama": Animal("LlamaConfig"),
    "llama-tied-biased": Animal(
        "LlamaConfig", {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True, "head_dim": 64}
    ),
    "llama3.1": Animal("LlamaConfig", {"rope_parameters": _llama3(8.0)}),
    "llama-linear": Animal(
        "LlamaConfig", {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}}
    ),
    "mistral": Animal("MistralConfig", {"sliding_window": None}),
    "mixtral": Animal("MixtralConfig", {"num_local_experts": 6, "num_experts_per_tok": 2, "sliding_window": None}),
}
