"""SequenceTable: the requests of a server and how far the engine got, in memory that outlives the engine.

One record per request: what was asked for, all its tokens, its block tables, and a committed state in two slots
that one store flips (native/rings/sequences.h has the layout). The server owns the records, the engine commits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato import _rings
from ostinato.backends.sampling import Sampling
from ostinato.engine.records_table import MAX_BIAS, MAX_STOP_IDS, PARAMETERS, FinishReason
from ostinato.engine.request import Request

INT32_MAX = 2**31 - 1


class RecordError(ValueError):
    """A request that no record can hold; the text names what is too long, and the limit."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What is known of a sequence for good.

    `length` tokens are known (prompt and generated); KV of the first `computed` positions is valid; `blocks`
    counts the entries of each cache group's block table. A sequence without blocks has nothing computed.
    """

    length: int
    computed: int
    blocks: tuple[int, ...]
    finish: FinishReason = FinishReason.NONE


class SequenceTable:
    """`capacity` records over `memory` (uint8, `bytes(...)` long, 64-byte aligned).

    Roles: the *owner* (the server) allocates, acknowledges and frees; the *engine* commits. While the engine is
    dead the supervisor acts for it. Anyone may read.

    The order of one token's life makes a crash harmless: the engine writes it to `tokens`, commits, publishes;
    the server drains the ring and acknowledges. After a crash `roll_back` commits every sequence back to what was
    acknowledged, so the engine generates the rest again: deterministic, hence identical, log-probabilities
    included.
    """

    @staticmethod
    def bytes(capacity: int, context: int, caches: int, blocks_per_sequence: int) -> int:
        """Size of a table in bytes."""
        return _rings.sequence_bytes(capacity, context, caches, blocks_per_sequence)

    def __init__(
        self,
        memory: NDArray[np.uint8],
        capacity: int,
        context: int,
        caches: int,
        blocks_per_sequence: int,
        *,
        create: bool,
    ) -> None:
        """`create` zeroes the memory: all records are free. Raises ValueError for memory too small."""
        size = self.bytes(capacity, context, caches, blocks_per_sequence)
        self.capacity, self.context, self.caches = capacity, context, caches
        self.blocks_per_sequence = blocks_per_sequence
        self._native = _rings.SequenceTable(memory, capacity, context, caches, blocks_per_sequence)
        if create:
            memory[:size] = 0
        words = memory[:size].view(np.int32)
        record_words = self._native.blocks_offset(caches)  # the end of the last block table
        starts = map(self._native.record_offset, range(capacity))
        self._records = [words[start : start + record_words] for start in starts]
        self._blocks_at = [self._native.blocks_offset(cache) for cache in range(caches)]
        self._free = [record for record in reversed(range(capacity)) if not self._native.is_live(record)]
        self._arrivals = 0

    # The owner's side.

    def allocate(self, request: Request) -> tuple[int, int] | None:
        """Files a request; returns its (record, generation), or None when every record is taken.

        Raises RecordError for a request that no record can hold.
        """
        self._check(request)
        if not self._free:
            return None
        record = self._free.pop()
        _write_parameters(self._records[record], request)
        length = len(request.prompt)
        self.tokens(record)[:length] = request.prompt
        self.commit(record, Committed(length, 0, (0,) * self.caches))
        self._arrivals = (self._arrivals + 1) & INT32_MAX
        self._native.publish(record, self._arrivals)
        return record, self._native.generation(record)

    def free(self, record: int) -> None:
        """Gives a record back, after its end has been seen. Raises ValueError when it is free already."""
        if not self._native.is_live(record):
            raise ValueError(f"record {record} is free already")
        self._native.free(record)
        self._free.append(record)

    def ack(self, record: int, count: int) -> None:
        """`count` generated tokens have been taken out of the token ring."""
        self._native.ack(record, count)

    # The engine's side.

    def request(self, record: int) -> Request:
        """What was asked for. Floats come back as float32 holds them."""
        return _read_parameters(self._records[record])

    def generation(self, record: int) -> int:
        """Counts the requests that this record has served; (record, generation) names a request."""
        return self._native.generation(record)

    def tokens(self, record: int) -> NDArray[np.int32]:
        """View, int32 [context]: the prompt, then generated tokens. Entries below the committed length are fixed."""
        return self._records[record][_rings.TOKENS_OFFSET :][: self.context]

    def blocks(self, record: int, cache: int) -> NDArray[np.int32]:
        """View, int32 [blocks_per_sequence]: the block table in a cache group.

        Entries below the committed count are fixed; to replace them, commit a count of 0 first.
        """
        return self._records[record][self._blocks_at[cache] :][: self.blocks_per_sequence]

    def committed(self, record: int) -> Committed:
        """The committed state; consistent whoever is writing."""
        length, computed, blocks, finish = self._native.committed(record)
        return Committed(length, computed, blocks, FinishReason(finish))

    def commit(self, record: int, state: Committed) -> None:
        """Replaces the committed state, atomically. Raises ValueError for a state that contradicts itself."""
        self._native.commit(record, state.length, state.computed, state.finish, state.blocks)

    def acked(self, record: int) -> int:
        """Generated tokens that the server has."""
        return self._native.acked(record)

    def live(self) -> list[int]:
        """Records whose sequence has not ended, in order of arrival."""
        return self._native.live()

    def mark_step(self, reaches: Mapping[int, int], step: int) -> None:
        """Before a submit: `step` (above 0, one more than the last) names these records, and when it is done their
        rows fill so many positions each, at most."""
        self._native.mark_step(list(reaches.items()), step)

    def step_done(self, step: int) -> None:
        """After the commit of `step`: it and all earlier ones are out of every record."""
        self._native.step_done(step)

    def last_step(self) -> int:
        """The last step marked; a new engine goes on from the next."""
        return self._native.last_step()

    def reach(self, record: int) -> int:
        """Positions that the sequence's rows fill when the last step that named it is done."""
        return self._native.reach(record)

    def suspect(self, record: int) -> bool:
        """Whether the sequence was inside a step that died of a fault; the engine runs suspects alone."""
        return self._native.suspect(record)

    def set_suspect(self, record: int, value: bool) -> None:
        """The supervisor accuses; the engine clears once the sequence is past the step that died."""
        self._native.set_suspect(record, value)

    # While the engine is dead.

    def owned(self) -> list[int]:
        """Records that belong to a request, ended or not."""
        return self._native.owned()

    def in_flight(self) -> list[int]:
        """Records named by a step that was submitted and is not done."""
        return self._native.in_flight()

    def roll_back(self) -> None:
        """Commits every sequence back to the tokens that the server has, and ends all steps.

        The last of those tokens is not computed, so that the engine has a row to go on from. An end that the
        server has not seen is undone too; it will come about again.
        """
        for record in self.owned():
            state = self.committed(record)
            prompt = int(_word(self._records[record], "prompt_length"))
            length = min(state.length, prompt + self.acked(record))
            computed = min(state.computed, length - 1)
            self.commit(record, replace(state, length=length, computed=computed, finish=FinishReason.NONE))
        self.step_done(self.last_step())

    def _check(self, request: Request) -> None:
        for what, count, low, limit in (
            ("prompt tokens", len(request.prompt), 1, self.context),
            ("max_tokens", request.max_tokens, 1, INT32_MAX),
            ("stop ids", len(request.stop_ids), 0, MAX_STOP_IDS),
            ("logit_bias pairs", len(request.sampling.logit_bias), 0, MAX_BIAS),
        ):
            if not low <= count <= limit:
                raise RecordError(f"{count} {what}; expected {low} to {limit}")


def _word(record: NDArray[np.int32], name: str) -> np.int32:
    word: np.int32 = record[_rings.PARAMETERS_OFFSET + PARAMETERS.index(name)]
    return word


_INTEGERS = ("top_k", "choice", "logprobs")
_FLOATS = tuple(word.removesuffix(":f") for word in PARAMETERS.words if word.endswith(":f"))


def _write_parameters(record: NDArray[np.int32], request: Request) -> None:
    sampling = request.sampling
    values = {name: getattr(sampling, name) for name in _INTEGERS} | {
        "prompt_length": len(request.prompt),
        "max_tokens": request.max_tokens,
        "stop_count": len(request.stop_ids),
        "bias_count": len(sampling.logit_bias),
    }
    at = _rings.PARAMETERS_OFFSET
    for name, value in values.items():
        record[at + PARAMETERS.index(name)] = value
    for name in _FLOATS:
        record.view(np.float32)[at + PARAMETERS.index(name)] = getattr(sampling, name)
    seed = at + PARAMETERS.index("seed_low")
    record[seed : seed + 2] = np.array([sampling.seed], dtype="<u8").view(np.int32)
    stops = _rings.STOP_IDS_OFFSET
    record[stops : stops + len(request.stop_ids)] = request.stop_ids
    if sampling.logit_bias:
        pairs = record[_rings.BIAS_OFFSET :][: 2 * len(sampling.logit_bias)]
        pairs[0::2] = [token for token, _ in sampling.logit_bias]
        pairs.view(np.float32)[1::2] = [bias for _, bias in sampling.logit_bias]


def _read_parameters(record: NDArray[np.int32]) -> Request:
    parameters = record[_rings.PARAMETERS_OFFSET :][: len(PARAMETERS.words)]
    words = dict(zip((w.removesuffix(":f") for w in PARAMETERS.words), parameters.tolist(), strict=True))
    floats = parameters.view(np.float32)
    seed = PARAMETERS.index("seed_low")
    pairs = record[_rings.BIAS_OFFSET :][: 2 * words["bias_count"]]
    settings: dict[str, Any] = {name: float(floats[PARAMETERS.index(name)]) for name in _FLOATS}
    settings |= {name: words[name] for name in _INTEGERS}
    sampling = Sampling(
        **settings,
        seed=int(parameters[seed : seed + 2].view("<u8")[0]),
        logit_bias=tuple(zip(pairs[0::2].tolist(), pairs.view(np.float32)[1::2].tolist(), strict=True)),
    )
    prompt = record[_rings.TOKENS_OFFSET :][: words["prompt_length"]].tolist()
    stops = record[_rings.STOP_IDS_OFFSET :][: words["stop_count"]].tolist()
    return Request(prompt, words["max_tokens"], sampling, stops)
