"""Which token ids a model's programs can embed."""

from __future__ import annotations

from collections.abc import Mapping

from ostinato.backends.contract import CompileError
from ostinato.model.weights import StoredTensor, resolve
from ostinato.program.ir import Programs


def embeddable(programs: Programs, tensors: Mapping[str, StoredTensor]) -> int:
    """Token ids below this have a row in every embedding table. Raises CompileError where a program samples from
    a larger vocabulary: a drawn token is embedded in the next step."""
    instructions = [i for program in programs for i in program.instructions]
    tables = [resolve(w, tensors).dims[0] for i in instructions if i.op == "embed" for w in i.weights if w]
    least = min([programs.vocab_size, *tables])
    if least < programs.vocab_size and any(i.op == "sample" for i in instructions):
        raise CompileError(f"an embedding table of {least} rows for a vocabulary of {programs.vocab_size}")
    return least
