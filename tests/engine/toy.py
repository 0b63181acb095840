"""A toy engine in a process of its own: one token per sequence and step, each a hash of the history.

    python -m tests.engine.toy --link FDS [--kill-at POINT:N] [--poison TOKEN:SIGNAL] [--nap SECONDS] ...

It keeps every rule that the supervisor relies on, and dies where it is told to.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ostinato.engine.ports import Link, RingPort
from ostinato.engine.process import serve
from ostinato.engine.records_table import COUNTERS, Command, FinishReason
from ostinato.engine.request import TokenEvent
from ostinato.engine.sequences import Committed, SequenceTable
from ostinato.engine.shared import Shared

VOCAB = 1000


def next_token(history: Sequence[int], seed: int) -> int:
    """Depends on the history and the seed only."""
    state = seed
    for token in history:
        state = (state * 6364136223846793005 + token + 1442695040888963407) % 2**64
    return (state >> 33) % VOCAB


class Death:
    """Kills this process at the n-th passage of a point; `once` is a file that remembers it was done."""

    def __init__(self, text: str, once: str) -> None:
        self._point, _, count = text.partition(":")
        self._left = int(count or 0)
        self._once = Path(once) if once else None

    def passes(self, point: str) -> None:
        if point != self._point:
            return
        self._left -= 1
        if self._left == 0 and not (self._once and self._once.exists()):
            if self._once:
                self._once.touch()
            os.kill(os.getpid(), signal.SIGKILL)


class ToyEngine:
    """Every live sequence gets a token per step; a suspect steps alone."""

    def __init__(self, table: SequenceTable, port: RingPort, options: argparse.Namespace) -> None:
        self.table, self.port, self.options = table, port, options
        self.death = Death(options.kill_at, options.once)
        self.step_number = table.last_step()
        self.cancelled: set[int] = set()
        self.alone = Counter({record: 2 for record in table.live() if table.suspect(record)})

    def recover(self) -> None:
        if self.options.fail_in_recover:
            raise RuntimeError("told to fail")

    def counters(self) -> dict[str, int]:
        return dict.fromkeys(COUNTERS, 0) | {"steps": self.step_number}

    def step(self) -> bool:
        for command, record, generation in self.port.commands():
            if command is Command.CANCEL and generation == self.table.generation(record):
                self.cancelled.add(record)
        records = self.table.live()
        records = [r for r in records if self.table.suspect(r)][:1] or records
        if not records:
            return False
        time.sleep(self.options.nap)
        self.step_number += 1
        self.table.mark_step(dict.fromkeys(records, 0), self.step_number)
        self.death.passes("step")
        events = [self._advance(record) for record in records]
        self.table.step_done(self.step_number)
        self.death.passes("publish")
        self.port.publish(events)
        self.death.passes("published")
        return True

    def _advance(self, record: int) -> TokenEvent:
        request, state = self.table.request(record), self.table.committed(record)
        generated = state.length - len(request.prompt)
        if record in self.cancelled:
            self.cancelled.discard(record)
            self.table.commit(record, replace(state, finish=FinishReason.CANCELLED))
            return TokenEvent(record, generated, -1, FinishReason.CANCELLED)
        tokens = self.table.tokens(record)
        token = next_token(tokens[: state.length].tolist(), request.sampling.seed)
        self._die_of(tokens[: state.length].tolist())
        tokens[state.length] = token
        ended = generated + 1 == request.max_tokens
        finish = FinishReason.LENGTH if ended else FinishReason.NONE
        self.death.passes("commit")
        self.table.commit(record, Committed(state.length + 1, 0, state.blocks, finish))
        self.death.passes("committed")
        self._forgive(record)
        wanted = request.sampling.logprobs
        top = tuple((token + i, -1.0 - i) for i in range(max(wanted, 0)))
        return TokenEvent(record, generated, token, finish, -0.5 if wanted >= 0 else float("nan"), top)

    def _die_of(self, history: list[int]) -> None:
        for poison in self.options.poison:
            token, _, name = poison.partition(":")
            if int(token) not in history:
                continue
            if name == "EXCEPTION":
                raise RuntimeError("told to fail")
            os.kill(os.getpid(), signal.Signals[name])
            time.sleep(10)

    def _forgive(self, record: int) -> None:
        if record in self.alone:
            self.alone[record] -= 1
            if self.alone[record] == 0:
                self.table.set_suspect(record, False)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--link", type=Link.parse, required=True)
    parser.add_argument("--kill-at", default="", help="step|commit|committed|publish|published:N")
    parser.add_argument("--once", default="", help="a file: die at --kill-at only when it does not exist")
    parser.add_argument("--poison", action="append", default=[], help="TOKEN:SIGNAL, die of this token")
    parser.add_argument("--nap", type=float, default=0.0, help="seconds per step")
    parser.add_argument("--fail-in-recover", action="store_true")
    parser.add_argument("--refuse", default="")
    options = parser.parse_args()

    def build(shared: Shared, port: RingPort) -> ToyEngine:
        if options.refuse:
            raise ValueError(options.refuse)
        return ToyEngine(shared.table, port, options)

    return serve(options.link, build)


if __name__ == "__main__":
    sys.exit(main())
