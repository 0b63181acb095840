"""An engine on the null backend with its server's side, small enough to see paging fail; and one that crashes.

The null backend raises where a row would read KV that its sequence did not write, so that every test that
merely runs is a test of paging. Its executables do runs in one piece, token by token, or not at all, and may lose
their keys and values when they go.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ostinato.backends.batch import Batch
from ostinato.backends.batch_table import MAX_IN_FLIGHT
from ostinato.backends.contract import Executable, Plan, StepResult, check_batch
from ostinato.backends.null import NullExecutable
from ostinato.backends.runs import MAX_STEPS, going
from ostinato.backends.sampling import Sampling
from ostinato.engine.engine import Engine
from ostinato.engine.local import LocalPort, Stream
from ostinato.engine.records_table import FinishReason
from ostinato.engine.request import Request, TokenEvent
from ostinato.program.ir import CacheGroup, Program, Programs

VOCAB = 97
CACHES = (CacheGroup("full.0", 1, 1, 4, 4), CacheGroup("full.1", 2, 1, 4, 4))
_PROGRAM = Program("nothing", (), {}, CACHES, {}, VOCAB)
PROGRAMS = Programs(_PROGRAM, _PROGRAM)

ROOMY = Plan(max_rows=64, max_logit_rows=40, max_sequences=40, context=128, blocks=400, block_size=4)
TIGHT = Plan(max_rows=24, max_logit_rows=8, max_sequences=8, context=128, blocks=20, block_size=4)

Answer = tuple[list[int], FinishReason]

engines: list[Engine] = []  # made in this test; their integrity is checked after it


def with_memory(plan: Plan) -> Plan:
    """The plan with KV in memory that outlives an executable."""
    return replace(plan, memory={group.name: memoryview(bytearray(plan.cache_bytes(group))) for group in CACHES})


class Bench:
    """An engine and the one who asks it. `run_steps` as the engine's; `backend` one of EXECUTABLES."""

    def __init__(self, plan: Plan = ROOMY, capacity: int = 64, backend: str = "whole", run_steps: int = 0) -> None:
        self.backend, self.run_steps = backend, run_steps
        self.plan = with_memory(plan)
        self.port = LocalPort(self.plan, len(CACHES), capacity)
        self.table = self.port.table
        self.engine = self.new_engine()

    def new_engine(self) -> Engine:
        executable = EXECUTABLES[self.backend](self.plan)
        engine = Engine(executable, self.plan, CACHES, self.table, self.port, self.run_steps)
        engines.append(engine)
        return engine

    def restart(self) -> None:
        """Drops the engine, wherever it is, for a new one over the same memory."""
        engines.remove(self.engine)
        self.table.roll_back()
        self.engine = self.new_engine()
        self.engine.recover()

    def submit(self, request: Request) -> Stream:
        stream = self.port.submit(request)
        assert stream is not None, "every record is taken"
        return stream

    def finish(self, limit: int = 5000) -> None:
        """Steps until the engine is idle, checking everything on the way."""
        for _ in range(limit):
            self.engine.check_integrity()
            if not self.engine.step():
                assert not self.table.in_flight(), "idle with a step in flight"
                return
        raise AssertionError(f"not idle after {limit} steps")

    def answers(self, requests: Iterable[Request]) -> list[Answer]:
        """All at once."""
        streams = [self.submit(request) for request in requests]
        self.finish()
        return [answer(stream.events) for stream in streams]


def answer(events: Iterable[TokenEvent]) -> Answer:
    """Tokens and reason of a whole stream; asserts that indices run on and the end comes last."""
    events = list(events)
    tokens = [event.token for event in events if event.token >= 0]
    assert [event.index for event in events] == list(range(len(events)))
    assert all(not event.finish for event in events[:-1])
    assert events[-1].finish, "the stream has no end"
    return tokens, events[-1].finish


def alone(request: Request) -> Answer:
    """The answer of an engine that has nothing else to do and takes single steps."""
    return Bench(run_steps=1).answers([request])[0]


def requests(count: int, seed: int, longest: int = 40, prefixes: int = 3) -> list[Request]:
    """Prompts of 1 .. longest tokens, some of which begin alike; greedy and seeded; some with stop ids."""
    rng = random.Random(seed)
    stems = [[rng.randrange(VOCAB) for _ in range(longest)] for _ in range(prefixes)]
    made = []
    for number in range(count):
        stem = rng.choice(stems)[: rng.randrange(longest)]
        prompt = [*stem, *(rng.randrange(VOCAB) for _ in range(rng.randrange(1, longest - len(stem) + 1)))]
        temperature = rng.choice((0.0, 1.0))
        sampling = Sampling(
            temperature=temperature, seed=rng.randrange(2**64), choice=number % 3, logprobs=number % 4 - 1
        )
        stops = [rng.randrange(VOCAB)] if rng.random() < 0.3 else []
        made.append(Request(prompt, rng.randrange(1, 30), sampling, stops))
    return made


class LazyExecutable:
    """Computes a step when it is collected, as late as any backend may; a run in parts of `part` steps, until it is
    over or another batch comes."""

    max_steps = MAX_STEPS
    store = None
    keeps_state = True

    def __init__(self, plan: Plan, part: int = 1) -> None:
        self._inner, self._plan, self._part = NullExecutable(PROGRAMS, plan), plan, part
        self._batches: deque[Batch] = deque()
        self._slots: list[int] = []  # of the run in flight

    def submit(self, batch: Batch) -> None:
        if len(self._batches) == MAX_IN_FLIGHT:
            raise RuntimeError("too many steps in flight")
        check_batch(batch, self._plan, VOCAB, MAX_STEPS)
        self._check_slots(batch)
        self._batches.append(batch)

    def collect(self) -> StepResult:
        batch = self._batches.popleft()
        steps = 1 if self._batches else min(self._part, batch.steps)
        self._inner.submit(replace(batch, steps=steps))
        result = self._inner.collect()
        if batch.steps == 1 and not self._slots:
            return result
        self._slots = self._slots or result.slots.tolist()
        spans = going(batch, last_column(result), self._inner._state)
        more = bool(spans) and steps < batch.steps and not self._batches
        wide = widen(result, self._slots)
        if more:
            self._batches.appendleft(Batch(spans, steps=batch.steps - steps))
        else:
            self._slots = []
        return replace(wide, more=more)

    def close(self) -> None:
        self._inner.close()

    def _check_slots(self, batch: Batch) -> None:
        """Nothing may name a slot whose run is in flight."""
        busy = {span.slot for other in self._batches if other.steps > 1 for span in other.spans}.union(self._slots)
        named = [part.slot for part in (*batch.spans, *batch.enters, *batch.tables)]
        assert busy.isdisjoint(named), f"slots {busy} are in a run; the batch names {named}"


class ForgetfulExecutable(NullExecutable):
    """Keys and values die with it."""

    store = None
    keeps_state = False

    def __init__(self, plan: Plan) -> None:
        super().__init__(PROGRAMS, replace(plan, memory={}))


EXECUTABLES: Mapping[str, Callable[[Plan], Any]] = {
    "whole": lambda plan: NullExecutable(PROGRAMS, plan),
    "parts": LazyExecutable,
    "pairs": lambda plan: LazyExecutable(plan, part=2),
    "forgetful": ForgetfulExecutable,
}


def last_column(result: StepResult) -> StepResult:
    """The last token that each slot drew, as of a single step."""
    last = np.maximum(result.counts - 1, 0)[:, None]
    return replace(result, tokens=np.take_along_axis(result.tokens, last, axis=1))


def widen(result: StepResult, slots: list[int]) -> StepResult:
    """The result with a row for each of `slots`, in their order; those that it lacks drew nothing."""
    rows = [slots.index(slot) for slot in result.slots.tolist()]

    def spread(part: np.ndarray, fill: float) -> np.ndarray:
        wide = np.full((len(slots), *part.shape[1:]), fill, part.dtype)
        wide[rows] = part
        return wide

    return replace(
        result, slots=np.array(slots, np.int32), tokens=spread(result.tokens, -1), counts=spread(result.counts, 0),
        logprobs=spread(result.logprobs, np.nan), top_ids=spread(result.top_ids, -1),
        top_logprobs=spread(result.top_logprobs, np.nan), failed=spread(result.failed, False),
    )  # fmt: skip


class CrashError(Exception):
    """The engine's process ends here."""


class FaultError(CrashError):
    """It ends of a fault signal."""


def poison(executable: Any, token: int) -> Any:
    """The executable, one of EXECUTABLES, which dies of a row with this token."""

    def die(tokens: np.ndarray) -> None:
        if token in tokens:
            raise FaultError

    getattr(executable, "_inner", executable)._die_if_told = die
    return executable


class Fuse:
    """Counts calls of what it wraps and raises CrashError just before or just after one of them."""

    def __init__(self, calls: int, after: bool) -> None:
        self.calls, self.after = calls, after
        self.burnt = False

    def wrap(self, target: Any, names: Sequence[str]) -> Any:
        """A stand-in for `target` whose methods `names` burn the fuse."""
        return _Fused(target, names, self)

    def call(self, method: Any, *arguments: Any) -> Any:
        self.calls -= 1
        if self.calls == 0 and not self.after:
            self._blow()
        result = method(*arguments)
        if self.calls == 0:
            self._blow()
        return result

    def _blow(self) -> None:
        self.burnt = True
        raise CrashError


class _Fused:
    def __init__(self, target: Any, names: Sequence[str], fuse: Fuse) -> None:
        self._target, self._names, self._fuse = target, names, fuse

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        return (lambda *a: self._fuse.call(value, *a)) if name in self._names else value


class RingedPort(LocalPort):
    """A port whose tokens lie in a ring until the server, which outlives the engine, drains them."""

    def __init__(self, plan: Plan, caches: int, capacity: int) -> None:
        super().__init__(plan, caches, capacity)
        self.ring: list[TokenEvent] = []

    def publish(self, events: Sequence[TokenEvent]) -> None:
        self.ring += events

    def drain(self, count: int | None = None) -> None:
        """Takes `count` events (all, where None) and drops those that came before."""
        taken, self.ring = (self.ring, []) if count is None else (self.ring[:count], self.ring[count:])
        for event in taken:
            stream = self._streams.get(event.request)
            if stream is not None and event.index >= len(stream.events):
                super().publish([event])

    def fail(self, record: int) -> None:
        """The server ends a request without its engine."""
        super().publish([TokenEvent(record, len(self._streams[record].events), -1, FinishReason.FAULT)])


class CrashBench(Bench):
    """A bench whose engine dies wherever a fuse says, and of a row with the token `poison`, and is replaced over the
    same memory."""

    def __init__(self, plan: Plan, seed: int, forgetful: bool = False, poison: int = -1) -> None:
        self.plan, self.poison = with_memory(plan), poison
        self.backends = ["forgetful"] if forgetful else ["whole", "parts", "pairs"]
        self.port: RingedPort = RingedPort(self.plan, len(CACHES), 64)
        self.table = self.port.table
        self.rng = random.Random(seed)
        self.crashes = self.faults = 0
        self.engine = self.new_engine()

    def new_engine(self) -> Engine:
        self.fuse = Fuse(self.rng.randrange(1, 120), self.rng.random() < 0.5)
        backend = poison(EXECUTABLES[self.rng.choice(self.backends)](self.plan), self.poison)
        executable: Executable = self.fuse.wrap(backend, ("submit", "collect"))
        table = self.fuse.wrap(self.table, ("commit", "mark_step", "step_done"))
        run_steps = self.rng.choice((0, 1, 3, 64))
        return Engine(executable, self.plan, CACHES, table, self.fuse.wrap(self.port, ("publish",)), run_steps)

    def finish(self, limit: int = 20000) -> None:
        for _ in range(limit):
            try:
                worked = self.engine.step()
            except CrashError as error:
                self._replace_engine(isinstance(error, FaultError))
                continue
            self.engine.check_integrity()
            self.port.drain(None if self.rng.random() < 0.5 else self.rng.randrange(4))
            if not worked and not self.port.ring:
                return
        raise AssertionError(f"not idle after {limit} steps")

    def _replace_engine(self, fault: bool) -> None:
        """What a supervisor does; a token still in the ring may be lost with it, or not."""
        self.crashes += 1
        self.faults += fault
        if self.rng.random() < 0.5 or fault:  # the guilty one keeps what it had
            self.port.drain()
        self.port.ring.clear()
        self.port.commands()
        if fault:
            self._judge()
        self.table.roll_back()
        self._scribble()
        while True:
            self.engine = self.new_engine()
            try:
                self.engine.recover()
                return
            except CrashError:
                self.table.roll_back()

    def _judge(self) -> None:
        inside = self.table.in_flight()
        guilty = len(inside) == 1 and self.table.suspect(inside[0])
        for record in inside:
            if guilty:
                self.port.fail(record)
            else:
                self.table.set_suspect(record, True)

    def _scribble(self) -> None:
        """KV beyond what is committed is garbage: makes it so."""
        kept = {
            (cache, int(block))
            for record in self.table.live()
            for cache, count in enumerate(self.table.committed(record).blocks)
            for block in self.table.blocks(record, cache)[:count]
        }
        for cache, group in enumerate(CACHES):
            pool = np.frombuffer(self.plan.memory[group.name], dtype=np.uint8).reshape(self.plan.blocks, -1)
            for block in range(self.plan.blocks):
                if (cache, block) not in kept:
                    pool[block] = 0xEE
