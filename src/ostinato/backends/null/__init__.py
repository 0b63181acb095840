"""The null backend: no arithmetic, deterministic tokens; for testing everything above the backends.

A token depends on the sequence's own tokens, their kinds, and its seed and choice, nothing else. Instead of keys
and values, each position of the paged cache holds a hash of the sequence so far, and every row checks what it
would attend to: a wrong block table, a block reused too early or KV lost in a restart raises InconsistentStateError.

OSTINATO_NULL_FAULT=TOKEN:SIGNAL makes a row with that token kill the process with that signal (SIGSEGV, ...).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

import numpy as np

from ostinato.backends.batch import Batch, Span
from ostinato.backends.batch_table import MAX_TOP_LOGPROBS, Kind
from ostinato.backends.contract import (
    CompileError,
    Plan,
    Probe,
    StepResult,
    refuse_device_budget,
    refuse_streaming,
)
from ostinato.backends.immediate import ImmediateExecutable
from ostinato.backends.pools import make_pool
from ostinato.backends.stepstate import Slot
from ostinato.model.weights import StoredTensor
from ostinato.program.ir import CacheGroup, Programs

_MULTIPLIER = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


class InconsistentStateError(RuntimeError):
    """A row would read KV that its own sequence did not write there."""


class NullBackend:
    """Deterministic tokens without a model's arithmetic."""

    name = "null"

    def probe(self) -> Probe:
        return Probe(self.name, True, "none", {"use": "tests of the engine and server; answers mean nothing"})

    def compile(self, programs: Programs, tensors: Mapping[str, StoredTensor], plan: Plan) -> NullExecutable:
        refuse_streaming(self.name, plan)
        refuse_device_budget(self.name, plan)
        return NullExecutable(programs, plan, _fault())


class NullExecutable(ImmediateExecutable):
    """Hash chains in place of keys and values."""

    def __init__(self, programs: Programs, plan: Plan, fault: tuple[int, signal.Signals] | None = None) -> None:
        super().__init__(programs, plan, [_chains(group, plan) for group in programs.caches])
        self._vocab, self._fault = programs.vocab_size, fault

    def _step(self, batch: Batch) -> StepResult:
        rows = self._state.apply(batch)
        self._die_if_told(rows.token)
        logits = np.zeros((batch.logit_rows, self._vocab), dtype=np.float32) if batch.want_logits else None
        drawn, end = [], 0
        for span in batch.spans:
            chain = self._write(span)
            tokens = [self._token(span.slot, chain[len(chain) - span.logit_rows + i]) for i in range(span.logit_rows)]
            if logits is not None:
                logits[np.arange(end, end + len(tokens)), tokens] = 1.0
            end += len(tokens)
            if span.sample:
                drawn.append((span.slot, tokens[-1]))
                self._state.record(span.slot, self._state.slots[span.slot].length + span.count, tokens[-1])
        self._state.finish(batch)
        return self._result(drawn, {} if logits is None else {"logits": logits})

    def _write(self, span: Span) -> list[int]:
        """Checks the past of a span and writes its rows; returns the chain up to its last row."""
        slot = self._state.slots[span.slot]
        end = slot.length + span.count
        chain = hash_chain(slot.history[:end], slot.prompt_length)
        if (span.kind is Kind.PROMPT) != (slot.length < slot.prompt_length):
            raise InconsistentStateError(f"slot {span.slot}, position {slot.length}: a row of the wrong kind")
        for cache, pool in enumerate(self._pools):
            at = _where(slot, cache, np.arange(end), self._plan.block_size)
            found = pool[at[0][: slot.length], at[1][: slot.length]]
            wrong = np.flatnonzero(found != np.array(chain[: slot.length], dtype=np.uint64))
            if len(wrong):
                raise InconsistentStateError(f"slot {span.slot}: position {wrong[0]} of cache {cache} is not its own")
            pool[at[0][slot.length :], at[1][slot.length :]] = chain[slot.length :]
        return chain

    def _token(self, slot_index: int, chain: int) -> int:
        settings = self._state.slots[slot_index].sampling
        if settings.temperature > 0:
            chain = _mix(_mix(chain, settings.seed), settings.choice)
        return (_mix(chain, 1) >> 20) % self._vocab

    def _result(self, drawn: list[tuple[int, int]], outputs: Mapping[str, np.ndarray]) -> StepResult:
        slots = np.array([slot for slot, _ in drawn], dtype=np.int32)
        tokens = np.array([token for _, token in drawn], dtype=np.int32).reshape(-1, 1)
        asked = np.array([self._state.slots[s].sampling.logprobs for s in slots], dtype=np.int32).reshape(-1, 1, 1)
        rank = np.arange(MAX_TOP_LOGPROBS, dtype=np.int32)
        top = (tokens[:, :, None] + rank) % self._vocab
        return StepResult(
            slots=slots,
            tokens=tokens,
            counts=np.ones(len(drawn), dtype=np.int32),
            logprobs=np.where(asked[:, :, 0] >= 0, np.float32(0), np.float32("nan")),
            top_ids=np.where(rank < asked, top, -1).astype(np.int32),
            top_logprobs=np.where(rank < asked, -rank, np.nan).astype(np.float32),
            outputs=outputs,
            failed=np.zeros(len(drawn), dtype=bool),
        )

    def _die_if_told(self, tokens: np.ndarray) -> None:
        if self._fault is not None and self._fault[0] in tokens:
            os.kill(os.getpid(), self._fault[1])


def hash_chain(tokens: np.ndarray, prompt_length: int) -> list[int]:
    """Hash of the sequence up to and with each position: tokens and kinds."""
    chain, out = 1, []
    for position, token in enumerate(tokens.tolist()):
        chain = _mix(chain, 2 * token + (position >= prompt_length))
        out.append(chain)
    return out


def _mix(a: int, b: int) -> int:
    mixed = ((a ^ (b + 0x632BE59BD9B4E019)) * _MULTIPLIER) & _MASK
    return mixed ^ (mixed >> 29)


def _where(slot: Slot, cache: int, positions: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    return slot.tables[cache][positions // size], positions % size


def _chains(group: CacheGroup, plan: Plan) -> np.ndarray:
    """uint64 [blocks, block_size]: the first words of each block of the pool."""
    pool = make_pool(group, plan)
    width = 8 * plan.block_size
    if pool.shape[1] < width:
        raise CompileError(f"null: cache {group.name!r} has less than 8 bytes a position")
    return pool[:, :width].view(np.uint64)


def _fault() -> tuple[int, signal.Signals] | None:
    text = os.environ.get("OSTINATO_NULL_FAULT")
    if not text:
        return None
    token, _, name = text.partition(":")
    return int(token), signal.Signals[name]
