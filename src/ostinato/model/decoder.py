"""Decoders: from metadata, tensors and an architecture's traits to ModelSpec. One mapping for all of them."""

from __future__ import annotations

from ostinato.model.attention import read_attention
from ostinato.model.feedforward import read_dense, read_experts
from ostinato.model.pooling import read_pooling, read_projections
from ostinato.model.reader import ModelError, Reader
from ostinato.model.recurrent import read_recurrent
from ostinato.model.spec import (
    Block,
    Body,
    Layer,
    ModelSpec,
    Norm,
    Part,
    PerLayerEmbedding,
    PerLayerInput,
    Projection,
)
from ostinato.model.traits import Traits


def read_decoder(file: Reader, name: str, traits: Traits) -> ModelSpec:
    """A decoder-only language model."""
    vocab, width = file.matrix("token_embd.weight")
    embedding = file.tensor("token_embd.weight")
    if file.integer("nextn_predict_layers", 0, low=0):
        for layer in range(file.layers, file.integer("block_count")):
            file.ignore(f"blk.{layer}.")
    scale = 1.0 if traits.embedding_scale is None else traits.embedding_scale(file)
    return ModelSpec(
        architecture=file.architecture,
        name=name,
        vocab_size=vocab,
        width=width,
        context=file.integer("context_length"),
        embedding=embedding,
        layers=tuple(_layer(file, i, width, traits) for i in range(file.layers)),
        output_norm=file.norm("output_norm" if file.has("output_norm.weight") else "token_embd_norm"),  # LFM2's name
        output=file.projection("output") if file.has("output.weight") else Projection(embedding),
        embedding_scale=file.number("embedding_scale", scale, low=1e-9, high=1e9),
        embedding_norm=file.optional_norm("token_embd_norm") if file.has("output_norm.weight") else None,
        position_embedding=file.optional("position_embd.weight"),
        logit_scale=_logit_scale(file, traits),
        logit_cap=file.number("final_logit_softcapping", 0.0, low=0, high=1e9),
        per_layer=_per_layer(file, width),
        pooling=read_pooling(file),
        after_pooling=read_projections(file),
    )


def _logit_scale(file: Reader, traits: Traits) -> float:
    scale = file.number("logit_scale", 1.0, low=1e-9, high=1e9)
    return 1.0 / scale if traits.logit_scale_divides else scale


def _layer(file: Reader, index: int, width: int, traits: Traits) -> Layer:
    stem = f"blk.{index}"
    blocks = arrange(file, stem, _mixer(file, index, width, traits), read_network(file, stem, traits), traits)
    return Layer(
        (*blocks, *_own_input(file, stem, traits)), scale=file.scalar(f"{stem}.layer_output_scale.weight", 1.0)
    )


def _own_input(file: Reader, stem: str, traits: Traits) -> tuple[Block, ...]:
    """The block that takes in the layer's part of the per-layer embeddings."""
    if not file.has(f"{stem}.inp_gate.weight"):
        return ()
    body = PerLayerInput(file.projection(f"{stem}.inp_gate"), file.projection(f"{stem}.proj"), traits.act)
    return (Block((Part(body, out_norm=file.norm(f"{stem}.post_norm")),)),)


def _per_layer(file: Reader, width: int) -> PerLayerEmbedding | None:
    if not file.has("per_layer_token_embd.weight"):
        return None
    own = file.integer("embedding_length_per_layer_input")
    return PerLayerEmbedding(
        table=file.tensor("per_layer_token_embd.weight"),
        width=own,
        scale=own**0.5,
        projection=file.projection("per_layer_model_proj"),
        projection_scale=width**-0.5,
        norm=file.norm("per_layer_proj_norm", groups=file.layers),
    )


def _mixer(file: Reader, index: int, width: int, traits: Traits) -> Body | None:
    """What mixes positions: a recurrent mixer, attention, or nothing."""
    stem = f"blk.{index}"
    if (recurrent := read_recurrent(file, stem, traits)) is not None:
        return recurrent
    return read_attention(file, index, width, traits) if file.has(f"{stem}.attn_output.weight") else None


def read_network(file: Reader, stem: str, traits: Traits) -> Body | None:
    """Experts, a dense feed-forward network, or nothing."""
    if file.has(f"{stem}.ffn_gate_inp.weight"):
        return read_experts(file, stem, traits)
    return read_dense(file, stem, traits) if file.has(f"{stem}.ffn_down.weight") else None


def arrange(file: Reader, stem: str, mixer: Body | None, ffn: Body | None, traits: Traits) -> tuple[Block, ...]:
    """The norms round mixer and feed-forward network, as the tensors tell: before, after, or both."""
    before = file.optional_norm(f"{stem}.attn_norm")
    parallel = file.flag("use_parallel_residual", traits.parallel)
    between = file.optional_norm(f"{stem}.ffn_norm")
    after = file.optional_norm(f"{stem}.post_attention_norm")
    if between is None and before is not None and not parallel:
        between, after = after, None  # files of some architectures call the second norm by this name
    if mixer is None and ffn is None:
        raise ModelError(f"the file has no tensor '{stem}.attn_output.weight' nor other ones that make a layer")
    scale = file.number("residual_scale", 1.0, low=-1e6, high=1e6)
    if mixer is None or ffn is None:  # layers of one part
        body = mixer if ffn is None else ffn
        assert body is not None
        return (Block((Part(body, before or between, after),), scale=scale),)
    attention = Part(mixer, before, after)
    network = Part(ffn, between, file.optional_norm(f"{stem}.post_ffw_norm"))
    if parallel:
        network = network if between is not None else Part(ffn, _second(file, stem) or before)
        return (Block((attention, network), scale=scale),)
    if file.has(f"{stem}.pre_ffw_norm_2.weight"):
        return Block((attention,), scale=scale), _two_networks(file, stem, network, traits)
    return Block((attention,), scale=scale), Block((network,), scale=scale)


def _two_networks(file: Reader, stem: str, experts: Part, traits: Traits) -> Block:
    """A dense network beside the experts, each with norms of its own, and one for their sum."""
    dense = Part(read_dense(file, stem, traits), experts.norm, file.norm(f"{stem}.post_ffw_norm_1"))
    routed = Part(experts.body, file.norm(f"{stem}.pre_ffw_norm_2"), file.norm(f"{stem}.post_ffw_norm_2"))
    return Block((dense, routed), out_norm=experts.out_norm)


def _second(file: Reader, stem: str) -> Norm | None:
    return file.optional_norm(f"{stem}.attn_norm_2")
