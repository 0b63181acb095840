"""The wire form of a step: records of 32-bit words that every backend reads.

tools/emit.py turns these records into C++ structs and JSON; `batch.Batch.encode` writes them. Standard library
only. A step is one int32 array:

    Header | Span x spans | Enter x enters | Table x tables | Mask x masks | pool

`pool` holds what has no fixed length (token ids, block ids, biases, mask bits); records point into it by offset.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Kind(IntEnum):
    """A row's kind decides its arithmetic, and nothing else does: not who shares the step."""

    PROMPT = 0
    GENERATED = 1


@dataclass(frozen=True)
class Record:
    """A fixed run of 32-bit words. A name that ends in `:f` holds a float32, the others int32."""

    name: str
    doc: str
    words: tuple[str, ...]

    def word_name(self, index: int) -> str:
        """Name of a word, without its kind."""
        return self.words[index].removesuffix(":f")

    def index(self, word: str) -> int:
        """Position of a word in the record."""
        return [w.removesuffix(":f") for w in self.words].index(word)


MAX_IN_FLIGHT = 2  # steps that are submitted and not collected
MAX_TOP_LOGPROBS = 20  # OpenAI's limit for top_logprobs
MAX_LOGIT_BIAS = 1024  # tokens one sequence may bias: a device keeps them in a slot of fixed size
MAX_STOPS = 8  # tokens that end a sequence within a run
FROM_STATE = -1  # Span.tokens: the row takes its token from StepState

HEADER = Record("Header", "Counts of the sections that follow; prompt rows come before generated rows.", (
    "spans", "enters", "tables", "masks", "pool",
    "rows",  # T
    "prompt_rows",  # the first of them are prompt rows
    "logit_rows",  # R
    "want_logits",  # 1: the step returns the named output `logits`, float32 [R, vocab]
    "steps",  # of a run of decode steps; 1: a single step
))  # fmt: skip

SPAN = Record("Span", "Consecutive rows of one sequence. Spans of kind PROMPT come first.", (
    "slot",  # sequence slot in StepState
    "kind",  # Kind
    "start",  # position of the first row
    "count",  # number of rows
    "tokens",  # offset in pool of `count` token ids, or FROM_STATE (then count is 1)
    "logit_rows",  # the last so many rows produce logits
    "sample",  # 1: sample a token from the last row and advance the slot
    "adapter",  # LoRA adapter of the rows; 0: none
))  # fmt: skip

ENTER = Record("Enter", "A sequence takes a slot: its settings, and tokens whose rows are not computed again.", (
    "slot",
    "history",  # offset in pool of tokens at positions 0 .. history_count (a cached prefix)
    "history_count",
    "prompt_length",  # positions below are prompt rows; presence and frequency count the others
    "temperature:f",  # 0: greedy
    "top_k",  # 0: all
    "top_p:f",
    "min_p:f",
    "presence:f",
    "frequency:f",
    "repetition:f",
    "seed_low",
    "seed_high",
    "choice",
    "logprobs",  # -1: none; n: log-probability of the token and of the n best
    "bias",  # offset in pool of bias_count pairs (token id, float32 bits)
    "bias_count",
    "limit",  # a run draws no token at this position or beyond
    "stops",  # offset in pool of stops_count token ids; a run draws nothing after one of them
    "stops_count",
))  # fmt: skip

TABLE = Record("Table", "Entries first .. first+count of a slot's block table in one cache group.", (
    "cache", "slot", "first", "count", "blocks",  # offset in pool of `count` block ids
))  # fmt: skip

MASK = Record("Mask", "Tokens the slot may sample in this step only.", (
    "slot",
    "bits",  # offset in pool of ceil(vocab / 32) words; bit t%32 of word t/32 allows token t
))  # fmt: skip

RECORDS = (HEADER, SPAN, ENTER, TABLE, MASK)
