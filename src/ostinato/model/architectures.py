"""The one place where architecture names appear: each with its traits.

A new architecture is a line here, and to convert its checkpoints a recipe (convert/recipes/__init__.py says how).
Capabilities (biases, norms, tied output, experts, latent attention) are found from the tensors that are there; traits
hold what only the name tells.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from ostinato.model.activation import read_activation
from ostinato.model.decoder import read_decoder
from ostinato.model.encoder import read_encoder
from ostinato.model.kinds_table import Activation, AttentionMask, HeadOrder, RopeStyle, Scoring
from ostinato.model.reader import ModelError, ModelFile, Reader
from ostinato.model.spec import ModelSpec, Temperature
from ostinato.model.traits import Routing, Traits, Windows

__all__ = ["ARCHITECTURES", "ModelError", "read_spec", "unsupported"]


def _root_of_width(file: Reader) -> float:
    """Gemma's embeddings, times the root of their width."""
    return file.integer("embedding_length") ** 0.5


def _gemma_scale(large: int) -> Callable[[Reader, int], float]:
    """Gemma's largest models (told by their layers) scale by width / heads instead of the key's length."""

    def scale(file: Reader, key_dim: int) -> float:
        wide = file.integer("embedding_length") / file.integer("attention.head_count")
        return (wide if file.layers == large else key_dim) ** -0.5

    return scale


def _one(file: Reader, key_dim: int) -> float:
    """Normed queries and keys, not scaled."""
    return 1.0


_NEOX = Traits()
_NORM = Traits(rope=RopeStyle.NORM)
_SIGMOID = Traits(routing=Routing(scoring=Scoring.SIGMOID, floor=1e-20))
_UNNORMALISED = Traits(routing=Routing(normalise=False))
_GRANITE = Traits(rope=RopeStyle.NORM, logit_scale_divides=True)
_GEMMA = Traits(act=Activation.GELU, embedding_scale=_root_of_width)
_GEMMA3 = replace(_GEMMA, windows=Windows(period=6, base=10000.0, plain=True))

ARCHITECTURES: Mapping[str, Traits] = {
    "arcee": Traits(rope=RopeStyle.NORM, act=Activation.RELU_SQUARED),
    "bert": Traits(rope=None, act=Activation.GELU_ERF, causal=False),
    "cohere2": Traits(rope=RopeStyle.NORM, parallel=True, rope_in_windows_only=True, windows=Windows(period=4)),
    "command-r": Traits(rope=RopeStyle.NORM, parallel=True),
    "deepseek2": Traits(rope=RopeStyle.NORM, routing=Routing(normalise=False)),
    "dots1": _SIGMOID,
    "ernie4_5": _NORM,
    "ernie4_5-moe": Traits(rope=RopeStyle.NORM, routing=Routing(floor=1e-12)),
    "eurobert": Traits(causal=False),
    "exaone4": Traits(rope_in_windows_only=True, windows=Windows(period=4)),
    "gemma": _GEMMA,
    "gemma-embedding": replace(_GEMMA3, causal=False),
    "gemma2": replace(_GEMMA, attention_scale=_gemma_scale(46), windows=Windows(period=2, default=4096)),
    "gemma3": replace(_GEMMA3, attention_scale=_gemma_scale(62)),
    "gemma4": replace(
        _GEMMA, attention_scale=_one, unit_values=True, keyed_values=True, windows=Windows(period=6, plain=True)),
    "glm4": _NORM,
    "glm4moe": _SIGMOID,
    "gpt2": Traits(rope=None, act=Activation.GELU),
    "gptneox": Traits(act=Activation.GELU_ERF),
    "gpt-oss": Traits(act=Activation.QUICK_GELU, glu_limit=7.0, glu_shift=1.0, windows=Windows(period=2)),
    "granite": _GRANITE,
    "granitehybrid": _GRANITE,
    "granitemoe": _GRANITE,
    "hunyuan-dense": Traits(rope_first=True),
    "hunyuan-moe": Traits(rope_first=True),
    "jina-bert-v3": Traits(act=Activation.GELU_ERF, causal=False),
    "kimi-linear": Traits(rope=None, routing=Routing(scoring=Scoring.SIGMOID, floor=1e-20)),
    "lfm2": _NEOX,
    "lfm2moe": Traits(routing=Routing(scoring=Scoring.SIGMOID, floor=1e-6)),
    "llama": _NORM,
    "llama4": Traits(
        rope=RopeStyle.NORM, rope_first=True, unit_heads=True, unrotated_period=4,
        unrotated_temperature=Temperature(8192.0, 0.1, 1.0),
        windows=Windows(period=4, mask=AttentionMask.CHUNK, default=8192),
        routing=Routing(Scoring.SIGMOID, normalise=False, weigh_input=True)),
    "minimax-m2": Traits(routing=Routing(scoring=Scoring.SIGMOID)),
    "mistral3": _NORM,
    "mistral4": Traits(rope=RopeStyle.NORM, routing=Routing(floor=1e-20)),
    "modern-bert": Traits(act=Activation.GELU_ERF, causal=False, windows=Windows(period=3, whole_first=True)),
    "nemotron": Traits(act=Activation.RELU_SQUARED),
    "nemotron_h": Traits(rope=None, centred=False, act=Activation.RELU_SQUARED),
    "nemotron_h_moe": Traits(
        rope=None, centred=False, act=Activation.RELU_SQUARED, routing=Routing(scoring=Scoring.SIGMOID, floor=1e-20)),
    "nomic-bert": Traits(causal=False),
    "olmo2": Traits(windows=Windows(period=4, plain=True)),
    "olmoe": _UNNORMALISED,
    "phi2": Traits(act=Activation.GELU, parallel=True),
    "phi3": _NEOX,
    "qwen2": _NEOX,
    "qwen2moe": _UNNORMALISED,
    "qwen3": _NEOX,
    "qwen35": Traits(head_order=HeadOrder.TILED),
    "qwen35moe": Traits(head_order=HeadOrder.TILED),
    "qwen3moe": _NEOX,
    "qwen3next": _NEOX,
    "seed_oss": _NEOX,
    "smollm3": Traits(rope=RopeStyle.NORM, unrotated_period=4),
    "stablelm": _NEOX,
    "starcoder": Traits(rope=None, act=Activation.GELU),
    "starcoder2": Traits(act=Activation.GELU),
}  # fmt: skip


def read_spec(file: ModelFile) -> ModelSpec:
    """The ModelSpec of an open GGUF file. Raises ModelError naming what is missing or not supported."""
    architecture = file.metadata.get("general.architecture")
    if not isinstance(architecture, str):
        raise ModelError("metadata 'general.architecture' is missing: the file does not say what model it holds")
    if architecture not in ARCHITECTURES:
        raise ModelError(unsupported(architecture, ARCHITECTURES))
    if not file.tensors:
        raise ModelError("the file holds a vocabulary but no tensors: it can tokenize, not generate")
    traits = ARCHITECTURES[architecture]
    reader = Reader(file, architecture, traits.centred)
    traits = replace(traits, act=read_activation(reader, traits.act))
    read = read_decoder if reader.flag("attention.causal", traits.causal) else read_encoder
    spec = read(reader, str(file.metadata.get("general.name", architecture)), traits)
    reader.check_all_known()
    return spec


def unsupported(name: str, known: Collection[str]) -> str:
    """What to say of an architecture that is not among those known."""
    from difflib import get_close_matches

    near = get_close_matches(name[:80], known, n=4, cutoff=0.5)
    among = f", among them {', '.join(near)}" if near else ""
    return f"architecture {name!r:.80} is not supported; {len(known)} others are{among}"
