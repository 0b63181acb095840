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
    NUMBERS = 6  # no logit was a number
    WEIGHTS = 7  # weights that it wanted could not be read; TokenEvent.reason says why


# What a person is told of WEIGHTS and of NUMBERS.
UNREADABLE = "weights could not be read: {}"
NOT_FINITE = "the model gave no numbers to draw from: its weights, or what they add up to, are not finite"


class Command(IntEnum):
    """What a server says to an engine."""

    SUBMIT = 1  # the sequence record at `record` is filled
    CANCEL = 2


class SequenceState(IntEnum):
    """Who a sequence record belongs to."""

    FREE = 0  # nobody
    LIVE = 1  # a request, from its submission until its owner has seen the end


class EngineState(IntEnum):
    """What an engine process says of itself."""

    STARTING = 0
    READY = 1
    REFUSED = 2  # it cannot run this model; the message section says why


ENUMS = (FinishReason, Command, SequenceState, EngineState)

MAX_STOP_IDS = 32  # per request
MAX_BIAS = 512  # logit_bias pairs per request
MAX_CACHES = 8  # cache groups of a model

# Command ring, server -> engine.
COMMAND = Record("CommandRecord", "A command about one sequence record.", ("command", "record", "generation"))

# Token ring, engine -> server.
TOKEN = Record("TokenRecord", "A published token; the same one may come again after a restart.", (
    "record", "generation", "index",  # name the token
    "token", "finish", "logprob:f", "top_count",
    *(f"top_id{i}" for i in range(MAX_TOP_LOGPROBS)), *(f"top_logprob{i}:f" for i in range(MAX_TOP_LOGPROBS)),
))  # fmt: skip

# Sequence table (native/rings/sequences.h): one of these runs per request.
STEP_MARKS = Record("StepMarks", "Steps of the whole table: started, and finished in every record.", (
    "submitted", "collected",
))  # fmt: skip

OWNER = Record("SequenceOwner", "Words of one sequence that the server writes.", (
    "state",  # SequenceState
    "generation",  # counts the requests this record has served
    "order",  # arrival: counts the requests of the whole table
    "acked",  # generated tokens the server has taken out of the token ring
))  # fmt: skip

ENGINE = Record("SequenceEngine", "Words of one sequence that the engine writes (the supervisor, while it is dead).", (
    "commits",  # counts commits; its lowest bit names the slot that holds
    "step",  # last step that named this sequence
    "reach",  # positions that its rows fill when that step is done
    "suspect",  # 1: was inside a step that died of a fault
))  # fmt: skip

SLOT = Record("CommittedSlot", "Committed state of one sequence: one of two, flipped by one store.", (
    "length",  # tokens known: prompt and generated
    "computed",  # positions whose KV is valid
    "finish",  # FinishReason
    *(f"blocks{i}" for i in range(MAX_CACHES)),  # entries of each cache group's block table
))  # fmt: skip

PARAMETERS = Record("SequenceParameters", "What was asked for; written once, before the record becomes LIVE.", (
    "prompt_length", "max_tokens", "temperature:f", "top_k", "top_p:f", "min_p:f", "presence_penalty:f",
    "frequency_penalty:f", "repetition_penalty:f", "seed_low", "seed_high", "choice", "logprobs",
    "stop_count",  # of the stop ids that follow
    "bias_count",  # of the pairs (token id, float32) that follow the stop ids
))  # fmt: skip

# Head of the shared mapping (engine/shared.py).
SHARED = Record("SharedHeader", "Sizes that everything else in the mapping follows from, and the engine's state.", (
    "magic", "version", "capacity", "context", "blocks_per_sequence",
    "caches",
    *(f"kv_{half}{i}" for i in range(MAX_CACHES) for half in ("low", "high")),  # bytes of each cache group's KV
    "state",  # EngineState
    "blocked",  # 1: the engine waits for room in the token ring
    "message_bytes",
))  # fmt: skip

# int64 words that the engine process writes after every step, for metrics. Those of a weight store and of a device's
# slots are 0 where there are none, budgets and pinned bytes too.
COUNTERS = (
    "steps", "runs", "rows", "prompt_tokens", "generated_tokens", "prefix_hits", "preemptions",  # since its start
    "running", "waiting", "free_blocks",
    "store_hits", "store_misses", "store_useful", "store_late", "store_wasted", "store_hinted", "store_foreseen",
    "store_refused", "store_evictions", "store_failures", "store_demand_bytes", "store_prefetch_bytes",
    "store_replica_bytes", "store_coarse", "store_stall_ns",  # as native/memory/counters.h has them, since its start
    "store_read_latency_ns", "store_read_rate",  # nanoseconds, bytes a second: of the rule for coarse copies, or 0
    "store_budget_bytes", "store_slot_bytes", "store_used_bytes", "store_parcel_bytes",
    "gpu_hits", "gpu_misses", "gpu_bus_bytes", "gpu_moves", "gpu_moved_bytes",  # as memory/hot.py has them, likewise
    "gpu_pinned_bytes", "gpu_slot_bytes", "gpu_parcel_bytes",
)  # fmt: skip

RECORDS = (COMMAND, TOKEN, STEP_MARKS, OWNER, ENGINE, SLOT, PARAMETERS, SHARED)
CONSTANTS: dict[str, int] = {"kMaxStopIds": MAX_STOP_IDS, "kMaxBias": MAX_BIAS, "kMaxCaches": MAX_CACHES}
