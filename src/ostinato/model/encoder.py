"""Encoders: every token sees the whole text, and the text becomes one embedding. Pooling of any model's rows."""

from __future__ import annotations

from dataclasses import replace

from ostinato.model.attention import read_attention
from ostinato.model.decoder import arrange, read_network
from ostinato.model.kinds_table import Pooling
from ostinato.model.pooling import read_pooling, read_projections
from ostinato.model.reader import Reader
from ostinato.model.spec import Block, Layer, ModelSpec, Part
from ostinato.model.traits import Traits


def read_encoder(file: Reader, name: str, traits: Traits) -> ModelSpec:
    """An encoder; a file that does not say how to pool means the mean (as sentence-transformers takes it)."""
    vocab, width = file.matrix("token_embd.weight")
    traits = replace(traits, causal=False)
    scale = 1.0 if traits.embedding_scale is None else traits.embedding_scale(file)
    pooling = read_pooling(file)
    file.ignore("output.weight")  # the output matrix of a masked language model: embeddings do without
    return ModelSpec(
        architecture=file.architecture,
        name=name,
        vocab_size=vocab,
        width=width,
        context=file.integer("context_length"),
        embedding=file.tensor("token_embd.weight"),
        layers=tuple(_layer(file, index, width, traits) for index in range(file.layers)),
        output_norm=file.optional_norm("output_norm"),
        output=None,
        embedding_scale=scale,
        embedding_norm=file.optional_norm("token_embd_norm"),
        position_embedding=file.optional("position_embd.weight"),
        type_embedding=file.optional("token_types.weight"),
        pooling=Pooling.MEAN if pooling is None else pooling,
        after_pooling=read_projections(file),
    )


def _layer(file: Reader, index: int, width: int, traits: Traits) -> Layer:
    """BERT's own layers norm the sum of what came in and what was added; later ones are arranged as decoders'."""
    stem = f"blk.{index}"
    mixer, network = read_attention(file, index, width, traits), read_network(file, stem, traits)
    closing = file.optional_norm(f"{stem}.attn_output_norm")
    if closing is None or network is None:
        return Layer(arrange(file, stem, mixer, network, traits))
    last = file.norm(f"{stem}.layer_output_norm")
    return Layer((Block((Part(mixer),), closing_norm=closing), Block((Part(network),), closing_norm=last)))
