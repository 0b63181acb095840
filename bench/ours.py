"""Ostinato's side of bench/cpu.py: a worker (bench/worker.py) around the engine in its own process.

python -m bench.ours MODEL --threads 2 --sequences 8 --context 1024 --kv-type f16
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.forced import forced
from bench.worker import SEED_CONTEXT, Record, serve
from ostinato import _cpu
from ostinato.backends.batch import Batch, Enter, Span, TableEdit
from ostinato.backends.batch_table import Kind
from ostinato.backends.contract import KVType, StateAction
from ostinato.backends.sampling import Sampling
from ostinato.backends.slotted import hot_set
from ostinato.cli.bench import Session, peak_memory_bytes
from ostinato.cli.bus import planned
from ostinato.engine.loading import Options
from ostinato.memory.options import PolicyName, Prefetch, ReadMode
from ostinato.memory.statistics import statistics

GREEDY = Sampling(temperature=0)


class Ours:
    """A loaded model."""

    def __init__(self, model: Path, options: Options) -> None:
        self._session = Session.load(model, options)
        self._executable, self._plan = self._session.executable, self._session.opened.plan
        self._random = np.random.default_rng(0)
        self._deep = 0  # positions of slot 0 that `deep` has filled

    def about(self) -> Record:
        return {"level": _cpu.level(), "device": self._session.opened.backend.probe().device}

    def roofs(self, threads: int) -> Record:
        """Peak rates at the level in use, operations a second."""
        int8, f32 = _cpu.peak_rates(threads)
        return {"int8": int8, "f32": f32}

    def run(self, sequences: int, prompt: int, tokens: int) -> Record:
        """`sequences` random prompts (new ones each time), then `tokens` greedy tokens after the first of each."""
        prompts = self._tokens(sequences * prompt).reshape(sequences, prompt).tolist()
        prefill, decode = self._session.measure(prompts, tokens)
        return {"prefill_seconds": prefill, "decode_seconds": decode}

    def deep(self, depth: int, tokens: int) -> Record:
        """Seconds for `tokens` steps of one sequence behind `depth` positions of context."""
        self._fill(depth)
        history = self._tokens(depth).tolist()
        last = Span(0, Kind.PROMPT, depth - 1, history[-1:], 1, sample=True)
        self._step(Batch([last], [Enter(0, depth, GREEDY, history[:-1])], self._tables()))
        position = depth
        self._steps(position, 2)  # warms up
        started = time.perf_counter()
        self._steps(position + 2, tokens)
        return {"decode_seconds": time.perf_counter() - started}

    def forced(self, **text: Any) -> Record:
        """bench/forced.py, with the arguments of its `forced`, and what the weight store counted."""
        self._step(Batch([], [Enter(0, len(text["prompt"]), GREEDY)], self._tables()))
        return forced(self._rows, counters=self._counters, **text)

    def _rows(self, tokens: Sequence[int], start: int) -> None:
        """A single one counts as generated."""
        kind = Kind.PROMPT if len(tokens) > 1 else Kind.GENERATED
        for first in range(0, len(tokens), self._plan.max_rows):
            rows = tokens[first : first + self._plan.max_rows]
            last = first + len(rows) == len(tokens)
            self._step(Batch([Span(0, kind, start + first, rows, int(last), sample=last)]))

    def _counters(self) -> Mapping[str, float]:
        store, hot = getattr(self._executable, "store", None), hot_set(self._executable)
        return statistics(store.native).counts if store is not None else hot.figures() if hot is not None else {}

    def device_plan(self) -> Record | None:
        """What a budget of a device's memory became."""
        return planned(hot_set(self._executable))

    @property
    def vocab_size(self) -> int:
        return self._session.opened.programs.vocab_size

    def close(self) -> None:
        self._executable.close()
        self._session.opened.file.close()

    def slots(self) -> Record:
        """What the budget of memory gave to weights that stream; nothing where all of them fit."""
        store = getattr(self._executable, "store", None)
        return {} if store is None else {"slot_bytes": store.plan.slot_bytes}

    def memory(self) -> Record:
        return {"peak_bytes": peak_memory_bytes()}

    def _tokens(self, count: int) -> np.ndarray:
        return self._random.integers(0, self._session.opened.spec.vocab_size, count)

    def _caches(self) -> range:
        return range(len(self._session.opened.programs.caches))

    def _tables(self) -> Sequence[TableEdit]:
        blocks = range(self._plan.blocks_per_sequence)
        return [TableEdit(cache, 0, 0, blocks) for cache in self._caches()]

    def _fill(self, depth: int) -> None:
        """Keys and values for `depth` positions of slot 0. They need not be the right ones: time does not depend on
        them, so those of a short prompt are copied."""
        if self._deep >= depth:
            return
        tokens = self._tokens(SEED_CONTEXT).tolist()
        self._step(Batch([Span(0, Kind.PROMPT, 0, tokens)], [Enter(0, len(tokens), GREEDY)], self._tables()))
        made = SEED_CONTEXT // self._plan.block_size
        for cache in self._caches():
            for block in range(made, -(-depth // self._plan.block_size)):
                self._executable.state(StateAction.COPY, cache, [block % made], to=[block])
        self._deep = depth

    def _step(self, batch: Batch) -> None:
        self._executable.submit(batch)
        while self._executable.collect().more:
            pass

    def _steps(self, position: int, tokens: int) -> None:
        while tokens:
            steps = min(tokens, self._executable.max_steps)
            self._step(Batch([Span(0, Kind.GENERATED, position, None, 1, sample=True)], steps=steps))
            position, tokens = position + steps, tokens - steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--sequences", type=int, default=1)
    parser.add_argument("--context", type=int, required=True)
    parser.add_argument("--kv-type", default="f16", choices=[kind.value for kind in KVType])
    parser.add_argument("--memory")
    parser.add_argument("--policy", default=Options.policy.value, choices=[name.value for name in PolicyName])
    parser.add_argument("--prefetch", default=Options.prefetch.value, choices=[name.value for name in Prefetch])
    parser.add_argument("--read-mode", default=Options.read_mode.value, choices=[mode.value for mode in ReadMode])
    given = parser.parse_args()
    options = Options(
        "cpu", given.threads, given.context, max_sequences=given.sequences, kv_type=KVType(given.kv_type),
        memory=given.memory, policy=PolicyName(given.policy), prefetch=Prefetch(given.prefetch),
        read_mode=ReadMode(given.read_mode),
    )  # fmt: skip
    ours = Ours(given.model, options)
    serve({name: getattr(ours, name) for name in ("about", "roofs", "run", "deep", "forced", "slots", "memory")})


if __name__ == "__main__":
    main()
