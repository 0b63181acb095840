"""ModelSpec -> Programs: what a model computes, written down as instructions.

Nothing here knows an architecture by name, a quantisation type, a device or a degree of parallelism.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

from ostinato.model.kinds_table import EmbedBy
from ostinato.model.spec import (
    Attention,
    Block,
    Body,
    DeltaNet,
    Dense,
    Experts,
    LatentAttention,
    Layer,
    Mamba,
    ModelSpec,
    Part,
    PerLayerEmbedding,
    PerLayerInput,
    ShortConv,
)
from ostinato.model.weights import StoredTensor
from ostinato.program.attention import attention, latent_attention
from ostinato.program.builder import Builder
from ostinato.program.feedforward import dense, experts, per_layer_input
from ostinato.program.ir import Programs
from ostinato.program.mixers import delta_net, mamba, short_conv
from ostinato.program.scope import Scope
from ostinato.program.verify import verify


def compile_model(
    spec: ModelSpec, tensors: Mapping[str, StoredTensor], context: int | None = None, embed: bool = False
) -> Programs:
    """The programs of a model, verified against the file's tensors. `context`: positions that will be served (what
    the model was trained for, if None); `embed`: a decoder with pooling ends in embeddings too. Raises VerifyError,
    ShapeError or WeightError."""
    builder = Builder(tensors)
    scope = Scope(builder, tensors, spec.context if context is None else context)
    x = _embedded(scope, spec)
    for index, layer in enumerate(spec.layers):
        builder.layer = index
        x = _layer(scope, layer, x)
    builder.layer = -1
    program = builder.program("step", _output(scope, spec, x, embed), spec.vocab_size)
    verify(program, tensors)
    return Programs(prefill=program, decode=program)


def _embedded(s: Scope, spec: ModelSpec) -> str:
    b = s.builder
    x = b.add("embed", weights=(spec.embedding,), scale=spec.embedding_scale)
    if spec.position_embedding is not None:
        x = b.add("add", x, b.add("embed", weights=(spec.position_embedding,), by=EmbedBy.POSITION))
    if spec.type_embedding is not None:
        x = b.add("add", x, b.add("embed", weights=(spec.type_embedding,), by=EmbedBy.FIRST))
    x = s.norm(spec.embedding_norm, x)
    if spec.per_layer is not None:
        s.per_layer = _per_layer(s, spec.per_layer, x)
    return x


def _per_layer(s: Scope, p: PerLayerEmbedding, x: str) -> str:
    table = s.builder.add("embed", weights=(p.table,), scale=p.scale * 0.5**0.5)
    projected = s.norm(p.norm, s.scaled(s.linear(p.projection, x), p.projection_scale))
    return s.builder.add("add", table, projected, scale=0.5**0.5)


def _output(s: Scope, spec: ModelSpec, x: str, embed: bool) -> dict[str, str]:
    """Logits and the token drawn from them; of an encoder, embeddings."""
    b = s.builder
    if embed or spec.output is None:
        assert spec.pooling is not None, "who asks for embeddings knows how rows are pooled"
        pooled = b.add("pool", s.norm(spec.output_norm, x), pooling=spec.pooling)
        return {"embedding": reduce(lambda y, projection: s.linear(projection, y), spec.after_pooling, pooled)}
    logits = s.linear(spec.output, s.norm(spec.output_norm, b.add("select", x)))
    logits = s.scaled(logits, spec.logit_scale, spec.logit_cap)
    b.add("sample", logits)
    return {"logits": logits}


def _layer(s: Scope, layer: Layer, x: str) -> str:
    for block in layer.blocks:
        x = _block(s, block, x)
    return s.scaled(x, layer.scale)


def _block(s: Scope, block: Block, x: str) -> str:
    made = [_part(s, part, x) for part in block.parts]
    total = s.norm(block.out_norm, reduce(lambda a, b: s.builder.add("add", a, b), made))
    return s.norm(block.closing_norm, s.builder.add("add", x, total, scale=block.scale))


def _part(s: Scope, part: Part, x: str) -> str:
    return s.norm(part.out_norm, _body(s, part.body, s.norm(part.norm, x), x))


def _body(s: Scope, body: Body, h: str, x: str) -> str:
    match body:
        case Attention():
            return attention(s, body, h)
        case LatentAttention():
            return latent_attention(s, body, h)
        case DeltaNet():
            return delta_net(s, body, h)
        case Mamba():
            return mamba(s, body, h)
        case ShortConv():
            return short_conv(s, body, h)
        case Dense():
            return dense(s, body, h)
        case Experts():
            return experts(s, body, h, x)
        case PerLayerInput():
            return per_layer_input(s, body, h)
