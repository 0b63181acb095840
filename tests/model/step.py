"""Runs steps of hostile models on the CPU: by import, or as a program (PART PARTS [MODULE]) that runs its share of all
models that one change makes, on a native module built elsewhere (with a sanitizer), and prints how many it ran."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator

from ostinato.backends.batch import Batch, Enter, Span, TableEdit
from ostinato.backends.batch_table import Kind
from ostinato.backends.contract import CompileError, Plan
from ostinato.backends.cpu import CpuBackend
from ostinato.backends.sampling import Sampling
from ostinato.model.architectures import read_spec
from ostinato.program.compile import compile_model
from tests.model.mutations import changed_keys, changed_tensors
from tests.model.specimens import CONTEXT, SPECIMENS, Specimen

PROMPT = 19  # rows: more than a tile, and than a block of keys and values
DRAWS = Sampling(top_p=0.9, min_p=0.01, repetition_penalty=1.1)


def run(specimen: Specimen) -> None:
    """A prompt and two generated rows; of encoders the prompt. Raises what reading, compiling and running raise."""
    spec = read_spec(specimen)
    context = max(4, min(spec.context, CONTEXT))
    programs = compile_model(spec, specimen.tensors, context)
    plan = Plan(max_rows=24, max_logit_rows=24, max_sequences=2, context=context, blocks=8, threads=2)
    executable = CpuBackend().compile(programs, specimen.tensors, plan)
    try:
        tokens = [(7 * row - 1) % spec.vocab_size for row in range(min(PROMPT, context - 2))]
        tables = [TableEdit(cache, 0, 0, range(plan.blocks_per_sequence)) for cache in range(len(programs.caches))]
        prompt = Span(0, Kind.PROMPT, 0, tokens, len(tokens), sample=not programs.embeds)
        executable.submit(Batch([prompt], [Enter(0, len(tokens), DRAWS)], tables, want_logits=True))
        executable.collect()
        for position in range(len(tokens), len(tokens) + 2 * (not programs.embeds)):
            executable.submit(Batch([Span(0, Kind.GENERATED, position, None, 1, sample=True)]))
            executable.collect()
    finally:
        executable.close()


def changed() -> Iterator[tuple[str, Specimen]]:
    """Every single change of every specimen."""
    for name, build in SPECIMENS.items():
        for changes in (changed_keys, changed_tensors):
            yield from ((f"{name}: {what}", specimen) for what, specimen in changes(build()))


def main(part: int, parts: int, module: str = "") -> None:
    if module:
        found = importlib.util.spec_from_file_location("ostinato._cpu", module)
        assert found is not None
        assert found.loader is not None
        sys.modules["ostinato._cpu"] = importlib.util.module_from_spec(found)
        found.loader.exec_module(sys.modules["ostinato._cpu"])
    ran = 0
    for number, (what, specimen) in enumerate(changed()):
        if number % parts != part:
            continue
        try:
            compile_model(read_spec(specimen), specimen.tensors)
        except ValueError:
            continue
        print(what, file=sys.stderr)  # the last line tells whose step crashed
        try:
            run(specimen)
            ran += 1
        except CompileError:
            continue
    print(ran)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
