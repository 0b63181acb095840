"""Records in the shared memory between server, supervisor and engine: fixed runs of 32-bit words.

tools/emit.py makes C++ structs of them. Standard library only.
"""

from __future__ import annotations

from enum import IntEnum

from ostinato.backends.batch_table import MAX_TOP_LOGPROBS, Record


class FinishReason(IntEnum):
    """Why a sequence ended."""

    NONE = 0  # it has not
    STOP = 1  # a stop id was sampled
    LENGTH = 2  # max_tokens, or the context is full
    CANCELLED = 3
    FAULT = 4  # computing it, alone, killed the engine twice
    ERROR = 5  # refused by the engine (for example: the prompt does not fit)


class Command(IntEnum):
    """What a server says to an engine."""

    SUBMIT = 1  # the sequence record at `record` is filled
    CANCEL = 2


ENUMS = (FinishReason, Command)

# Command ring, server -> engine.
COMMAND = Record("CommandRecord", "A command about one sequence record.", ("command", "record", "generation"))

# Token ring, engine -> server.
TOKEN = Record("TokenRecord", "A published token; the same (record, generation, index) may come again after a restart.", (
    "record", "generation", "index", "token", "finish", "logprob:f", "top_count",
    *(f"top_id{i}" for i in range(MAX_TOP_LOGPROBS)), *(f"top_logprob{i}:f" for i in range(MAX_TOP_LOGPROBS)),
))  # fmt: skip

RECORDS = (COMMAND, TOKEN)
CONSTANTS: dict[str, int] = {}
