"""How a file says that the rows of a text become one embedding."""

from __future__ import annotations

from ostinato.model.kinds_table import Pooling
from ostinato.model.reader import ModelError, Reader
from ostinato.model.spec import Projection

PROJECTIONS = ("dense_2", "dense_3")  # module numbers of sentence-transformers
POOLINGS = {1: Pooling.MEAN, 2: Pooling.FIRST, 3: Pooling.LAST}  # gguf.PoolingType


def read_pooling(file: Reader) -> Pooling | None:
    """`pooling_type`; None where the file does not say. ModelError for scores of rerankers and for no pooling."""
    if file.get("pooling_type") is None:
        return None
    stated = file.integer("pooling_type", low=0)
    if stated not in POOLINGS:
        raise ModelError(
            f"metadata '{file.architecture}.pooling_type' is {stated}; supported: 1 (mean), 2 (first token), "
            "3 (last token)"
        )
    return POOLINGS[stated]


def read_projections(file: Reader) -> tuple[Projection, ...]:
    """What follows pooling."""
    return tuple(file.projection(stem) for stem in PROJECTIONS if file.has(f"{stem}.weight"))
