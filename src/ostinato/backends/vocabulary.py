"""Which token ids and positions a model's programs can embed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ostinato.backends.contract import CompileError
from ostinato.model.kinds_table import EmbedBy
from ostinato.model.weights import StoredTensor, resolve
from ostinato.program.ir import Programs


def embeddable(programs: Programs, tensors: Mapping[str, StoredTensor]) -> int:
    """Token ids below this have a row in every embedding table. Raises CompileError where a program samples from
    a larger vocabulary: a drawn token is embedded in the next step."""
    least = min([programs.vocab_size, *_rows(programs, tensors, EmbedBy.TOKEN)])
    samples = any(i.op == "sample" for program in programs for i in program.instructions)
    if least < programs.vocab_size and samples:
        raise CompileError(f"an embedding table of {least} rows for a vocabulary of {programs.vocab_size}")
    return least


def check_positions(programs: Programs, tensors: Mapping[str, StoredTensor], context: int) -> None:
    """Raises CompileError where a table of positions is shorter than the context."""
    least = min(_rows(programs, tensors, EmbedBy.POSITION), default=context)
    if least < context:
        raise CompileError(f"a table of {least} positions for a context of {context}; ask for a shorter one")


def _rows(programs: Programs, tensors: Mapping[str, StoredTensor], by: EmbedBy) -> Iterator[int]:
    """Rows of every table that is read `by` token or position."""
    for program in programs:
        for i in program.instructions:
            if i.op == "embed" and i.fields["by"] == by and i.weights[0] is not None:
                yield resolve(i.weights[0], tensors).dims[0]
