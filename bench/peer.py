"""The peer's half of a benchmark: llama.cpp through `llama_cpp`, printing the fields that `ostinato bench` prints.

Run by the interpreter that has llama-cpp-python (it needs nothing of Ostinato):

    $OSTINATO_PEER_PYTHON bench/peer.py MODEL -p 512 -n 128 -b 1,4 --threads 2
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import resource
import statistics
import sys
import time
from dataclasses import dataclass

import llama_cpp
import numpy as np
from numpy.typing import NDArray

FLASH = {"auto": -1, "off": 0, "on": 1}  # enum llama_flash_attn_type
KV_TYPES = {"f16": 1, "q8_0": 8}  # enum ggml_type


@dataclass(frozen=True)
class Settings:
    """What of llama.cpp's own choices may be changed; these are its defaults."""

    repack: bool = True  # weights into another layout at load, where it has one for them
    flash: str = "auto"
    unified: bool = False  # one KV buffer for all sequences
    kv_type: str = "f16"
    gpu_layers: int = 0


@dataclass
class Session:
    """A loaded model and a context for up to `sequences` sequences of `length` tokens."""

    model: ctypes.c_void_p
    context: ctypes.c_void_p
    vocab: int

    @classmethod
    def open(cls, path: str, threads: int, sequences: int, length: int, settings: Settings = Settings()) -> Session:
        """Load the file."""
        loading = llama_cpp.llama_model_default_params()
        loading.n_gpu_layers, loading.use_extra_bufts = settings.gpu_layers, settings.repack
        model = llama_cpp.llama_model_load_from_file(path.encode(), loading)
        if not model:
            raise SystemExit(f"llama.cpp cannot load {path}")
        options = llama_cpp.llama_context_default_params()
        options.n_ctx, options.n_seq_max = sequences * length, sequences
        options.n_batch = options.n_ctx
        options.n_threads = options.n_threads_batch = threads
        options.flash_attn_type, options.kv_unified = FLASH[settings.flash], settings.unified
        options.type_k = options.type_v = KV_TYPES[settings.kv_type]
        context = llama_cpp.llama_init_from_model(model, options)
        if not context:
            raise SystemExit("llama.cpp cannot make a context")
        return cls(model, context, llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model)))

    def step(self, rows: list[tuple[int, int, int]], logit_rows: list[int]) -> NDArray[np.int64]:
        """Decode rows of (token, position, sequence); the most likely next token of each of `logit_rows`."""
        batch = llama_cpp.llama_batch_init(len(rows), 0, 1)
        batch.n_tokens = len(rows)
        for i, (token, position, sequence) in enumerate(rows):
            batch.token[i], batch.pos[i] = token, position
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, sequence
            batch.logits[i] = False
        for i in logit_rows:
            batch.logits[i] = True
        status = llama_cpp.llama_decode(self.context, batch)
        llama_cpp.llama_batch_free(batch)
        if status:
            raise SystemExit(f"llama_decode returned {status}")
        return np.array([self._logits(i).argmax() for i in logit_rows])

    def _logits(self, row: int) -> NDArray[np.float32]:
        pointer = llama_cpp.llama_get_logits_ith(self.context, row)
        return np.ctypeslib.as_array(pointer, (self.vocab,))

    def forget(self) -> None:
        """Empty the KV cache."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)


_silent = llama_cpp.llama_log_callback(lambda level, text, data: None)  # llama.cpp keeps a pointer to it


def initialise() -> None:
    """Before anything else."""
    llama_cpp.llama_log_set(_silent, None)
    llama_cpp.llama_backend_init()


def measure(session: Session, prompt: int, generated: int, batch: int) -> dict[str, float]:
    """One run: `batch` sequences of `prompt` random tokens, prefilled together, then `generated` greedy steps."""
    session.forget()
    tokens = np.random.default_rng(0).integers(0, session.vocab, (batch, prompt))
    rows = [(int(tokens[s, i]), i, s) for s in range(batch) for i in range(prompt)]
    started = time.perf_counter()
    latest = session.step(rows, [(s + 1) * prompt - 1 for s in range(batch)])
    first = time.perf_counter()
    for position in range(prompt, prompt + generated):
        latest = session.step([(int(t), position, s) for s, t in enumerate(latest)], list(range(batch)))
    ended = time.perf_counter()
    return {
        "first_token_seconds": first - started,
        "prefill_tokens_per_second": batch * prompt / (first - started),
        "decode_tokens_per_second": batch * generated / (ended - first),
    }


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    """The median of each field."""
    return {field: statistics.median(run[field] for run in runs) for field in runs[0]}


def version() -> str:
    """llama-cpp-python's version and that of the ggml library it loaded."""
    try:
        library = ctypes.CDLL("libggml-base.so.0")  # by the name under which it is loaded already
        library.ggml_version.restype = library.ggml_commit.restype = ctypes.c_char_p
        ggml = f"ggml {library.ggml_version().decode()} commit {library.ggml_commit().decode()}"
    except (OSError, AttributeError):
        ggml = "ggml version unknown"
    return f"llama-cpp-python {llama_cpp.__version__}, {ggml}"


def file_digest(path: str) -> str:
    """SHA-256 of the file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def peak_memory_bytes() -> int:
    """The largest resident set of this process so far (`ru_maxrss`: KiB on Linux, bytes on macOS)."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("-p", "--prompt", type=int, default=512, help="prompt tokens of a sequence")
    parser.add_argument("-n", "--generate", type=int, default=128, help="generated tokens of a sequence")
    parser.add_argument("-b", "--batch", default="1", help="numbers of sequences, such as 1,4")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--gpu-layers", type=int, default=0, help="layers on the card, of a build that has one (0)")
    parser.add_argument("--repeat", type=int, default=1, help="runs, of which the median is printed")
    return parser.parse_args()


def main() -> None:
    """Measure, and print one JSON object."""
    options = parse_arguments()
    batches = [int(size) for size in options.batch.split(",")]
    initialise()
    started = time.perf_counter()
    session = Session.open(
        options.model, options.threads, max(batches), options.prompt + options.generate,
        Settings(gpu_layers=options.gpu_layers),
    )  # fmt: skip
    load = time.perf_counter() - started
    measure(session, prompt=8, generated=1, batch=1)  # touches every weight once, as llama-bench does
    results = [
        {"batch": b, **medians([measure(session, options.prompt, options.generate, b) for _ in range(options.repeat)])}
        for b in batches
    ]
    record = {
        "backend": "llama.cpp",
        "version": version(),
        "threads": options.threads,
        "gpu_layers": options.gpu_layers,
        "prompt_tokens": options.prompt,
        "generated_tokens": options.generate,
        "load_seconds": load,
        **{key: value for key, value in results[0].items() if key != "batch"},
        "batches": results,
        "peak_memory_bytes": peak_memory_bytes(),
        "model_sha256": file_digest(options.model),
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
