"""StepState on a device: one buffer of 32-bit words, whose first record says where everything lies.

    Layout | Step | row_slot | row_position | row_token | logit_row | Draw x max_sequences
           | Slot x max_sequences | history | tables | bias | stops

The counterpart of backends/stepstate.py, which defines what the fields mean. Written by the phases begin, rows,
sample and finish only (phases_table). Standard library only: the build reads it.
"""

from __future__ import annotations

from ostinato.backends.batch_table import Record

NO_MASK = -1  # Draw.mask: every token is allowed
INACTIVE = -1  # row_position of a row whose slot has stopped: it writes no state and draws nothing
NOTHING = -2  # Drawn.token: the slot had stopped before this step of the run
NO_NUMBER = -1  # Drawn.token: no logit was a number
NO_BLOCK = 2  # Slot.stopped: for want of a block; 1: at an end of its own
ATTEND_SPLIT = 256  # positions whose scores, maximum and sum one piece of attention holds
MAX_HEAD = 256  # elements of one head's key or value
CALL_WORDS = 40  # length of a Call on the device, whatever its phase

CONSTANTS = {
    "kNoMask": NO_MASK,
    "kInactive": INACTIVE,
    "kNothing": NOTHING,
    "kNoNumber": NO_NUMBER,
    "kNoBlock": NO_BLOCK,
    "kAttendSplit": ATTEND_SPLIT,
    "kMaxHead": MAX_HEAD,
    "kCallWords": CALL_WORDS,
}

LAYOUT = Record("Layout", "Limits of the plan, and the word at which each section of StepState begins.", (
    "max_rows", "max_logit_rows", "max_sequences", "max_steps", "context", "blocks", "block_size",
    "blocks_per_sequence", "caches", "vocab",
    "row_slot",  # [max_rows] slot of each row
    "row_position",  # [max_rows] position, or INACTIVE
    "row_token",  # [max_rows]
    "logit_row",  # [max_logit_rows] row of each logit row
    "draw",  # Draw x max_sequences
    "slot",  # Slot x max_sequences
    "history",  # [max_sequences, context + 1] token at each position
    "table",  # [max_sequences, caches, blocks_per_sequence] block ids, -1: none
    "bias",  # [max_sequences, MAX_LOGIT_BIAS, 2] token id, float32 bits
    "stops",  # [max_sequences, MAX_STOPS]
    "length",  # words of the buffer
))  # fmt: skip

STEP = Record("Step", "The step at hand: its rows, prompt rows first, in T as in R.", (
    "rows",  # T
    "prompt_rows",
    "logit_rows",  # R
    "prompt_logit_rows",
    "draws",  # spans that sample
    "steps",  # of the run
    "step",  # index in the run
    "running",  # spans whose slots have not stopped in this run; the run ends at 0
))  # fmt: skip

DRAW = Record("Draw", "A span that samples.", (
    "row",  # its logit row (of R)
    "slot",
    "position",  # of the token to draw, or INACTIVE
    "mask",  # word of the packet at which its mask begins, or NO_MASK
))  # fmt: skip

SLOT = Record("Slot", "One sequence: how far it is, and its settings (as Enter's).", (
    "length",  # positions whose rows were computed
    "prompt_length",
    "stopped",  # not 0: draws nothing more in this run; NO_BLOCK: its blocks ran out, else it ended
    "limit", "stops_count",
    "temperature:f", "top_k", "top_p:f", "min_p:f", "presence:f", "frequency:f", "repetition:f",
    "seed_low", "seed_high", "choice", "logprobs", "bias_count",
))  # fmt: skip

DRAWN = Record("Drawn", "What one draw made. The result buffer is Drawn [max_steps, max_sequences], then Best alike.", (
    "slot",
    "position",
    "token",  # or NOTHING, or NO_NUMBER
    "logprob:f",  # NaN where not asked for
))  # fmt: skip

BEST = Record("Best", "The best tokens by raw logit, -1 beyond the number asked for.", (
    *(f"id{i}" for i in range(20)),
    *(f"logprob{i}:f" for i in range(20)),
))  # fmt: skip

RECORDS = (LAYOUT, STEP, DRAW, SLOT, DRAWN, BEST)
