"""Supervisor: the server's side of an engine process. Starts it, feeds it, and starts it again when it dies.

What a stream has received is in the server's hands; the rest is in the shared mapping. So an engine that dies
costs time only: the next one goes on from the records, and since tokens depend on nothing but the history, every
stream continues with the same bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ostinato.engine.bell import Bell
from ostinato.engine.ports import Link, decode_event
from ostinato.engine.process import EXIT_REFUSED, EXIT_STEP, encode_options, stamp
from ostinato.engine.records_table import TOKEN, Command, EngineState, FinishReason
from ostinato.engine.request import Request, TokenEvent
from ostinato.engine.shared import DEFAULT_CAPACITY, Shared, Sizes

if TYPE_CHECKING:
    from ostinato.engine.loading import Opened, Options

log = logging.getLogger(__name__)

FAULTS = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT})
MAX_BARREN_DEATHS = 8  # deaths in a row without one token in between, before the supervisor gives up
RESTART_DELAY = 0.05  # seconds, times the barren deaths so far
_FINISH = TOKEN.index("finish")
STOP_TIMEOUT = 5.0  # seconds between SIGTERM and SIGKILL


class Overloaded(RuntimeError):  # noqa: N818 (a state of the server, not a mistake)
    """Every sequence record is taken; try again later."""


class EngineDownError(RuntimeError):
    """There is no engine and there will be none; the text says why."""


class Stream:
    """The events of one request, in order, until and including the one with a finish reason."""

    def __init__(self, supervisor: Supervisor, number: int, record: int, generation: int) -> None:
        self.number, self.record, self.generation = number, record, generation
        self.received = 0  # tokens
        self.cancelled = False
        self.ended = False
        self._supervisor = supervisor
        self._events: asyncio.Queue[TokenEvent] = asyncio.Queue()  # at most max_tokens and an end
        self._taken_end = False

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> TokenEvent:
        if self._taken_end:
            raise StopAsyncIteration
        event = await self._events.get()
        self._taken_end = event.finish is not FinishReason.NONE
        return event

    def cancel(self) -> None:
        """Ends the request soon; the last event says CANCELLED, unless it ended by itself before. Idempotent."""
        if not (self.cancelled or self.ended):
            self.cancelled = True
            self._supervisor._command(Command.CANCEL, self)

    def _put(self, event: TokenEvent) -> None:
        if event.token >= 0:
            self.received += 1
        self.ended = event.finish is not FinishReason.NONE
        self._events.put_nowait(event)


class Supervisor:
    """One engine process and the streams it feeds. Everything runs on one event loop.

    `command` is the engine's command line; the supervisor appends `--link`, and where the engine is `budgeted`
    `--beside`: what this process held at the first start. (What it holds later must not make a budget too small that
    was enough.) `sizes` are those of the plan that the engine will make for itself.
    """

    def __init__(self, command: Sequence[str], sizes: Sizes, *, backend: str = "", budgeted: bool = False) -> None:
        self._argv = list(command)
        self._budgeted = budgeted
        self._backend = backend
        self._shared = Shared.create(sizes)
        self._commands, self._tokens = Bell.create(), Bell.create()
        self._streams: dict[int, Stream] = {}  # by record
        self._submitted = 0
        self._rows = np.empty((sizes.token_slots, len(TOKEN.words)), np.int32)
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._started = False
        self._down = ""  # why there is no engine any more
        self._restarts = 0
        self._barren_deaths = 0
        self._progress = False  # since the engine's start

    @classmethod
    def for_model(cls, opened: Opened, options: Options, capacity: int = DEFAULT_CAPACITY) -> Supervisor:
        """The supervisor of a model that `open_model(path, options)` has read and planned."""
        command = [sys.executable, "-P", "-m", "ostinato.engine.process", "--model", str(opened.path)]
        command += ["--options", encode_options(options), "--stamp", stamp(opened.path)]
        sizes = Sizes.of(opened.plan, opened.programs.caches, capacity, opened.hosted)
        return cls(
            command,
            sizes,
            backend=opened.backend.name,
            budgeted=options.memory is not None or options.gpu_memory is not None,
        )

    async def start(self) -> None:
        """Returns when the engine takes requests. Raises EngineDownError when it cannot run the model."""
        asyncio.get_running_loop().add_reader(self._tokens.reader, self._on_bell)
        self._task = asyncio.create_task(self._keep_running())
        ready = asyncio.create_task(self._ready.wait())
        try:
            await asyncio.wait({ready, self._task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if self._down:
            raise EngineDownError(self._down)
        self._started = True

    async def stop(self) -> None:
        """Ends the engine; unfinished streams end with CANCELLED. Idempotent."""
        if self._task is None:
            return
        self._down = self._down or "the supervisor was stopped"
        self._signal(signal.SIGTERM)
        finished, _ = await asyncio.wait({self._task}, timeout=STOP_TIMEOUT)
        if not finished:
            self._signal(signal.SIGKILL)
            await self._task
        self._task = None
        asyncio.get_running_loop().remove_reader(self._tokens.reader)
        self._fail_all(FinishReason.CANCELLED)
        for resource in (self._commands, self._tokens, self._shared):
            resource.close()

    def submit(self, request: Request) -> Stream:
        """Starts a request, also while the engine is coming back from a crash.

        Raises Overloaded, EngineDownError, or RecordError for a request longer than a record.
        """
        if self._down:
            raise EngineDownError(self._down)
        allocated = self._shared.table.allocate(request)
        if allocated is None:
            raise Overloaded(f"all {self._shared.sizes.capacity} sequence records are taken")
        self._submitted += 1
        stream = Stream(self, self._submitted, *allocated)
        self._streams[stream.record] = stream
        self._command(Command.SUBMIT, stream)
        return stream

    def info(self) -> dict[str, Any]:
        """`engine_pid` (None while there is none), `backend`, `restarts`, `ready`, `down` (why, or ""),
        `memory_bytes` (resident, of the engine), `streams`, and the engine's counters by name."""
        pid = self._process.pid if self._process and self._process.returncode is None else None
        return {
            "engine_pid": pid,
            "backend": self._backend,
            "restarts": self._restarts,
            "ready": self._ready.is_set(),
            "down": self._down,
            "memory_bytes": resident_bytes(pid) if pid else 0,
            "streams": len(self._streams),
            **self._shared.counters,
        }

    def _command(self, command: Command, stream: Stream) -> None:
        row = np.array([[command, stream.record, stream.generation]], np.int32)
        if self._shared.commands.push_many(row) != 1:
            raise RuntimeError("the command ring is full, which its size rules out")
        self._commands.ring()

    # Tokens.

    def _on_bell(self) -> None:
        self._tokens.clear()
        if self._shared.state is EngineState.READY:
            self._ready.set()
        try:
            self._drain()
        except (RuntimeError, ValueError):
            log.exception("the engine wrote nonsense; it is killed and goes on from its records")
            self._signal(signal.SIGKILL)

    def _drain(self) -> None:
        """Takes all tokens out of the ring into their streams. Raises RuntimeError or ValueError for nonsense."""
        while True:
            count = self._shared.tokens.pop_many(self._rows)
            for row in self._rows[:count]:
                self._deliver(row)
            if self._shared.blocked:  # maybe since the last were taken: then too it waits for this bell
                self._commands.ring()
            if not count:
                return

    def _deliver(self, row: np.ndarray) -> None:
        record, generation, index = row[:3].tolist()
        stream = self._streams.get(record)
        if stream is None or stream.generation != generation or index < stream.received:
            return  # of a request that has ended, or a duplicate from before a restart
        if index > stream.received:
            raise ValueError(f"record {record}: token {index} after {stream.received}")
        self._progress = True
        reason = self._shared.reason(record) if row[_FINISH] == FinishReason.WEIGHTS else ""
        stream._put(decode_event(row, stream.number, reason))
        self._shared.table.ack(record, stream.received)
        if stream.ended:
            self._release(stream)

    def _release(self, stream: Stream) -> None:
        del self._streams[stream.record]
        self._shared.table.free(stream.record)

    def _end(self, stream: Stream, finish: FinishReason, reason: str = "") -> None:
        """Ends a stream without its engine."""
        stream._put(TokenEvent(stream.number, stream.received, -1, finish, reason=reason))
        self._release(stream)

    def _fail_all(self, finish: FinishReason, reason: str = "") -> None:
        for stream in list(self._streams.values()):
            self._end(stream, finish, reason)

    # Life and death of the engine.

    async def _keep_running(self) -> None:
        try:
            while not self._down:
                await self._run_once()
        except Exception as error:
            log.exception("the supervisor failed")
            self._give_up(f"{type(error).__name__}: {error}")

    async def _run_once(self) -> None:
        engine_end, own_end = os.pipe()  # own_end closes with this process, whatever ends it
        try:
            self._process = await self._spawn(engine_end)
        finally:
            os.close(engine_end)
        if self._down:  # stopped meanwhile
            self._signal(signal.SIGTERM)
        code = await self._process.wait()
        os.close(own_end)
        self._ready.clear()
        if not self._down:
            self._after_death(code)
            await asyncio.sleep(RESTART_DELAY * self._barren_deaths)

    async def _spawn(self, engine_end: int) -> asyncio.subprocess.Process:
        self._progress = False
        if self._budgeted:
            from ostinato.memory.machine import process_bytes

            self._argv += ["--beside", str(process_bytes(os.getpid()))]
            self._budgeted = False
        link = Link(self._shared.fd, self._commands, self._tokens, engine_end)
        return await asyncio.create_subprocess_exec(
            *self._argv,
            *("--link", str(link)),
            pass_fds=link.descriptors,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is the server's to handle
        )

    def _after_death(self, code: int) -> None:
        """Everything between two engines: nobody else touches the mapping now."""
        with contextlib.suppress(RuntimeError, ValueError):  # nonsense is dropped with the rings
            self._drain()
        if code == EXIT_REFUSED:
            self._give_up(self._shared.message)
            return
        table = self._shared.table
        log.warning("the engine died (%s); %d streams wait for the next one", _cause(code), len(self._streams))
        self._judge(code)
        for stream in [stream for stream in self._streams.values() if stream.cancelled]:
            self._end(stream, FinishReason.CANCELLED)
        self._barren_deaths = 0 if self._progress else self._barren_deaths + 1
        if self._barren_deaths >= MAX_BARREN_DEATHS:
            self._give_up(f"the engine died {MAX_BARREN_DEATHS} times without making a token, last: {_cause(code)}")
            return
        table.roll_back()
        self._shared.reset_rings()  # the records say all that the commands said
        self._shared.set_state(EngineState.STARTING)
        self._restarts += 1

    def _judge(self, code: int) -> None:
        """After a fault the sequences of the dead steps are suspects; one that was a suspect already, and alone,
        is guilty. Death by anything else (SIGKILL, exit) blames nobody."""
        if -code not in FAULTS and code != EXIT_STEP:
            return
        table = self._shared.table
        inside = table.in_flight()
        guilty = len(inside) == 1 and table.suspect(inside[0])
        for record in inside:
            if guilty:
                self._end(self._streams[record], FinishReason.FAULT)
                self._progress = True
            else:
                table.set_suspect(record, True)

    def _give_up(self, why: str) -> None:
        if self._started:  # before, `start` says it
            log.error("no engine: %s", why)
        self._down = why
        self._fail_all(FinishReason.ERROR, why)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)


def _cause(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def resident_bytes(pid: int) -> int:
    """Memory of a process that lies in RAM, the shared mapping's touched pages included; 0 when it is gone."""
    if sys.platform == "linux":
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return 0
    answer = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return 1024 * int(answer.stdout.strip() or 0)
