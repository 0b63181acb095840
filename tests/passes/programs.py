"""Running rewritten programs of an opened model."""

from __future__ import annotations

import numpy as np

from ostinato.backends.batch import Batch, Enter, Span, TableEdit
from ostinato.backends.batch_table import Kind
from ostinato.backends.contract import Backend
from ostinato.backends.sampling import Sampling
from ostinato.engine.loading import Opened
from ostinato.program.ir import Programs

PROMPT = (5, 9, 2, 33, 14, 7, 21)
GENERATED = (3, 40)


def logits(backend: Backend, opened: Opened, programs: Programs) -> np.ndarray:
    """Of a prompt and two rows generated after it, [rows, vocabulary]."""
    executable = backend.compile(programs, opened.file.tensors, opened.plan)
    tables = [TableEdit(cache, 0, 0, range(opened.plan.blocks_per_sequence)) for cache in range(len(programs.caches))]
    prompt = Span(0, Kind.PROMPT, 0, list(PROMPT), logit_rows=len(PROMPT))
    batches = [Batch([prompt], [Enter(0, len(PROMPT), Sampling())], tables, want_logits=True)]
    for at, token in enumerate(GENERATED):
        row = Span(0, Kind.GENERATED, len(PROMPT) + at, [token], logit_rows=1)
        batches.append(Batch([row], want_logits=True))
    made = []
    for batch in batches:
        executable.submit(batch)
        made.append(np.array(executable.collect().outputs["logits"]))
    executable.close()
    return np.concatenate(made)
