"""llama.cpp's side of bench/cpu.py: a worker (bench/worker.py) around bench/peer.py.

    LLAMA_CPP_LIB_PATH=peers/native $OSTINATO_PEER_PYTHON -m bench.peer_worker MODEL --threads 2 --context 1024

Run by the interpreter that has llama-cpp-python; it needs nothing of Ostinato.
"""

from __future__ import annotations

import argparse
import ctypes
import time
from collections.abc import Sequence
from typing import Any

import llama_cpp
import numpy as np

from bench.forced import forced
from bench.peer import FLASH, KV_TYPES, Session, Settings, initialise, measure, peak_memory_bytes, version
from bench.worker import SEED_CONTEXT, Record, serve


class Peer:
    """A loaded model."""

    def __init__(self, path: str, threads: int, sequences: int, context: int, settings: Settings) -> None:
        started = time.perf_counter()
        self._session = Session.open(path, threads, sequences, context, settings)
        load = time.perf_counter() - started
        self._deep = 0  # positions of sequence 0 that `deep` has filled
        first = measure(self._session, prompt=16, generated=1, batch=1)  # touches every weight once
        self._start = load + first["first_token_seconds"]

    def about(self) -> Record:
        """`start_seconds`: from the call that loads the file to the first token of 16; no interpreter's start in it."""
        system = llama_cpp.llama_print_system_info().decode().strip()
        return {"version": version(), "system": system, "start_seconds": self._start}

    def run(self, sequences: int, prompt: int, tokens: int) -> Record:
        """`sequences` random prompts, then `tokens` greedy tokens after the first of each."""
        found = measure(self._session, prompt, tokens, sequences)
        decode = sequences * tokens / found["decode_tokens_per_second"]
        return {"prefill_seconds": found["first_token_seconds"], "decode_seconds": decode}

    def deep(self, depth: int, tokens: int) -> Record:
        """Seconds for `tokens` steps of one sequence behind `depth` positions of context."""
        self._fill(depth)
        self._decode(depth, 2)  # warms up; the first moves the copied keys to their positions
        started = time.perf_counter()
        self._decode(depth + 2, tokens)
        seconds = time.perf_counter() - started
        llama_cpp.llama_memory_seq_rm(self._memory(), 0, depth, -1)
        return {"decode_seconds": seconds}

    def forced(self, **text: Any) -> Record:
        """bench/forced.py, with the arguments of its `forced`."""
        self._session.forget()
        return forced(self._rows, **text)

    def _rows(self, tokens: Sequence[int], start: int) -> None:
        self._session.step([(token, at, 0) for at, token in enumerate(tokens, start)], [len(tokens) - 1])

    def memory(self) -> Record:
        return {"peak_bytes": peak_memory_bytes()}

    def _memory(self) -> llama_cpp.llama_memory_t:
        return llama_cpp.llama_get_memory(self._session.context)

    def _decode(self, position: int, tokens: int) -> None:
        latest = 1
        for at in range(position, position + tokens):
            (latest,) = self._session.step([(int(latest), at, 0)], [0])

    def _fill(self, depth: int) -> None:
        """Keys and values for `depth` positions of sequence 0: a prefilled piece, restored again and again as other
        sequences, moved to its place and given to sequence 0. Time does not depend on what they are."""
        if self._deep == depth:
            return
        self._session.forget()
        tokens = np.random.default_rng(0).integers(0, self._session.vocab, SEED_CONTEXT)
        self._session.step([(int(token), at, 0) for at, token in enumerate(tokens)], [SEED_CONTEXT - 1])
        context, memory = self._session.context, self._memory()
        state = (ctypes.c_uint8 * llama_cpp.llama_state_seq_get_size(context, 0))()
        llama_cpp.llama_state_seq_get_data(context, state, len(state), 0)
        for piece in range(1, depth // SEED_CONTEXT):
            if not llama_cpp.llama_state_seq_set_data(context, state, len(state), piece):
                raise SystemExit("llama.cpp cannot restore a sequence")
            llama_cpp.llama_memory_seq_add(memory, piece, 0, -1, piece * SEED_CONTEXT)
            llama_cpp.llama_memory_seq_cp(memory, piece, 0, -1, -1)
        if llama_cpp.llama_memory_seq_pos_max(memory, 0) != depth - 1:
            raise SystemExit("the long context of llama.cpp is not where it should be")
        self._deep = depth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--sequences", type=int, default=1)
    parser.add_argument("--context", type=int, required=True, help="of every sequence")
    parser.add_argument("--no-repack", action="store_true")
    parser.add_argument("--flash", choices=FLASH, default="auto")
    parser.add_argument("--unified", action="store_true")
    parser.add_argument("--kv-type", choices=KV_TYPES, default="f16")
    given = parser.parse_args()
    initialise()
    settings = Settings(not given.no_repack, given.flash, given.unified, given.kv_type)
    peer = Peer(given.model, given.threads, given.sequences, given.context, settings)
    serve({name: getattr(peer, name) for name in ("about", "run", "deep", "forced", "memory")})


if __name__ == "__main__":
    main()
