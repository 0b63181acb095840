"""The one place where architecture names appear: each with its traits and the mapping that reads it.

A new architecture is a line here. Capabilities (biases, norms, tied output, experts, latent attention) are found from
the tensors that are there; traits hold what only the name tells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ostinato.model.decoder import read_decoder
from ostinato.model.kinds_table import Activation, AttentionMask, HeadOrder, RopeStyle, Scoring
from ostinato.model.reader import ModelError, ModelFile, Reader
from ostinato.model.spec import ModelSpec, Temperature
from ostinato.model.traits import Routing, Traits, Windows

Mapped = Callable[[Reader, str, Traits], ModelSpec]

__all__ = ["ARCHITECTURES", "ModelError", "read_spec"]


def _root_of_width(file: Reader) -> float:
    """Gemma's embeddings, times the root of their width."""
    return file.integer("embedding_length") ** 0.5


def _gemma_scale(large: int) -> Callable[[Reader, int], float]:
    """Gemma's largest models (told by their layers) scale by width / heads instead of the key's length."""

    def scale(file: Reader, key_dim: int) -> float:
        wide = file.integer("embedding_length") / file.integer("attention.head_count")
        return (wide if file.layers == large else key_dim) ** -0.5

    return scale


_NORM = Traits(rope=RopeStyle.NORM)
_NEOX = Traits()
_SIGMOID = Traits(routing=Routing(scoring=Scoring.SIGMOID, floor=1e-20))
_UNNORMALISED = Traits(routing=Routing(normalise=False))
_GEMMA = Traits(act=Activation.GELU, embedding_scale=_root_of_width)

ARCHITECTURES: Mapping[str, tuple[Traits, Mapped]] = {
    "arcee": (Traits(rope=RopeStyle.NORM, act=Activation.RELU_SQUARED), read_decoder),
    "cohere2": (
        Traits(rope=RopeStyle.NORM, parallel=True, rope_in_windows_only=True, windows=Windows(period=4)), read_decoder),
    "command-r": (Traits(rope=RopeStyle.NORM, parallel=True), read_decoder),
    "deepseek2": (Traits(rope=RopeStyle.NORM, routing=Routing(normalise=False)), read_decoder),
    "dots1": (_SIGMOID, read_decoder),
    "ernie4_5": (_NORM, read_decoder),
    "ernie4_5-moe": (Traits(rope=RopeStyle.NORM, routing=Routing(floor=1e-12)), read_decoder),
    "exaone4": (Traits(rope_in_windows_only=True, windows=Windows(period=4)), read_decoder),
    "gemma": (_GEMMA, read_decoder),
    "gemma2": (
        Traits(act=Activation.GELU, embedding_scale=_root_of_width, attention_scale=_gemma_scale(46),
               windows=Windows(period=2, default=4096)), read_decoder),
    "gemma3": (
        Traits(act=Activation.GELU, embedding_scale=_root_of_width, attention_scale=_gemma_scale(62),
               windows=Windows(period=6, base=10000.0, plain=True)), read_decoder),
    "glm4": (_NORM, read_decoder),
    "glm4moe": (_SIGMOID, read_decoder),
    "gpt-oss": (
        Traits(act=Activation.QUICK_GELU, glu_limit=7.0, glu_shift=1.0, windows=Windows(period=2)), read_decoder),
    "granite": (Traits(rope=RopeStyle.NORM, logit_scale_divides=True), read_decoder),
    "granitemoe": (Traits(rope=RopeStyle.NORM, logit_scale_divides=True), read_decoder),
    "llama4": (
        Traits(rope=RopeStyle.NORM, rope_first=True, unit_heads=True, unrotated_period=4,
               unrotated_temperature=Temperature(8192.0, 0.1, 1.0),
               windows=Windows(period=4, mask=AttentionMask.CHUNK, default=8192),
               routing=Routing(Scoring.SIGMOID, normalise=False, weigh_input=True)), read_decoder),
    "minimax-m2": (Traits(routing=Routing(scoring=Scoring.SIGMOID)), read_decoder),
    "llama": (_NORM, read_decoder),
    "hunyuan-dense": (Traits(rope_first=True), read_decoder),
    "hunyuan-moe": (Traits(rope_first=True), read_decoder),
    "mistral3": (_NORM, read_decoder),
    "mistral4": (Traits(rope=RopeStyle.NORM, routing=Routing(floor=1e-20)), read_decoder),
    "olmo2": (Traits(windows=Windows(period=4, plain=True)), read_decoder),
    "seed_oss": (_NEOX, read_decoder),
    "olmoe": (_UNNORMALISED, read_decoder),
    "phi3": (_NEOX, read_decoder),
    "qwen2": (_NEOX, read_decoder),
    "qwen2moe": (_UNNORMALISED, read_decoder),
    "qwen3": (_NEOX, read_decoder),
    "granitehybrid": (Traits(rope=RopeStyle.NORM, logit_scale_divides=True), read_decoder),
    "kimi-linear": (Traits(rope=None, routing=Routing(scoring=Scoring.SIGMOID, floor=1e-20)), read_decoder),
    "lfm2": (_NEOX, read_decoder),
    "lfm2moe": (Traits(routing=Routing(scoring=Scoring.SIGMOID, floor=1e-6)), read_decoder),
    "nemotron_h": (Traits(rope=None, act=Activation.RELU_SQUARED), read_decoder),
    "nemotron_h_moe": (
        Traits(rope=None, act=Activation.RELU_SQUARED, routing=Routing(scoring=Scoring.SIGMOID, floor=1e-20)),
        read_decoder),
    "qwen35": (Traits(head_order=HeadOrder.TILED), read_decoder),
    "qwen35moe": (Traits(head_order=HeadOrder.TILED), read_decoder),
    "qwen3next": (_NEOX, read_decoder),
    "qwen3moe": (_NEOX, read_decoder),
    "smollm3": (Traits(rope=RopeStyle.NORM, unrotated_period=4), read_decoder),
    "starcoder2": (Traits(act=Activation.GELU), read_decoder),
}  # fmt: skip


def read_spec(file: ModelFile) -> ModelSpec:
    """The ModelSpec of an open GGUF file. Raises ModelError naming what is missing or not supported."""
    architecture = file.metadata.get("general.architecture")
    if not isinstance(architecture, str):
        raise ModelError("metadata 'general.architecture' is missing: the file does not say what model it holds")
    if architecture not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise ModelError(f"architecture {architecture!r:.80} is not supported; supported: {known}")
    if not file.tensors:
        raise ModelError("the file holds a vocabulary but no tensors: it can tokenize, not generate")
    traits, mapping = ARCHITECTURES[architecture]
    reader = Reader(file, architecture)
    spec = mapping(reader, str(file.metadata.get("general.name", architecture)), traits)
    reader.check_all_known()
    return spec
