"""The supervisor over a toy engine: streams survive it, faults are blamed on whom they belong to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ostinato.backends.sampling import Sampling
from ostinato.engine import supervisor as supervisor_module
from ostinato.engine.records_table import FinishReason
from ostinato.engine.request import Request, TokenEvent
from ostinato.engine.shared import Sizes
from ostinato.engine.supervisor import EngineDownError, Overloaded, Stream, Supervisor
from tests.engine.toy import next_token

SIZES = Sizes(capacity=16, context=600, blocks_per_sequence=4, kv_bytes=(8192,))
FAULTS = ["SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT", "EXCEPTION"]


@asynccontextmanager
async def running(*options: str) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor([sys.executable, "-m", "tests.engine.toy", *options], SIZES, backend="toy")
    await supervisor.start()
    try:
        yield supervisor
    finally:
        await supervisor.stop()


async def collect(stream: Stream) -> list[TokenEvent]:
    return [event async for event in stream]


def expected(request: Request) -> list[int]:
    history = list(request.prompt)
    for _ in range(request.max_tokens):
        history.append(next_token(history, request.sampling.seed))
    return history[len(request.prompt) :]


def assert_complete(request: Request, events: Sequence[TokenEvent]) -> None:
    assert [event.token for event in events] == expected(request)
    assert [event.index for event in events] == list(range(request.max_tokens))
    ends = [event.finish for event in events]
    assert ends == [FinishReason.NONE] * (request.max_tokens - 1) + [FinishReason.LENGTH]


def requests(count: int, max_tokens: int) -> list[Request]:
    return [Request([1000 + i] * (i + 1), max_tokens, Sampling(seed=i)) for i in range(count)]


def test_streams_tokens_logprobs_and_ends() -> None:
    async def main() -> None:
        async with running() as supervisor:
            info = supervisor.info()
            assert info["ready"]
            assert info["backend"] == "toy"
            assert info["memory_bytes"] > 1 << 20
            os.kill(info["engine_pid"], 0)
            asked = requests(5, 50)
            for request, events in zip(
                asked, await asyncio.gather(*(collect(supervisor.submit(r)) for r in asked)), strict=True
            ):
                assert_complete(request, events)
            [first, _] = await collect(supervisor.submit(Request([1], 2, Sampling(logprobs=2))))
            assert first.logprob == -0.5
            assert first.top == ((first.token, -1.0), (first.token + 1, -2.0))
            assert supervisor.info()["streams"] == 0
            await until(lambda: supervisor.info()["steps"] >= 52)  # the engine counts after it has published

    asyncio.run(main())


def test_an_engine_that_blocks_just_after_the_ring_was_emptied_is_woken() -> None:
    async def main() -> None:
        supervisor = Supervisor([], SIZES)
        supervisor._drain()
        assert not select.select([supervisor._commands.reader], [], [], 0)[0]
        supervisor._shared.blocked = True
        supervisor._drain()
        assert select.select([supervisor._commands.reader], [], [], 0)[0]

    asyncio.run(main())


def test_more_tokens_than_the_ring_holds_while_the_server_sleeps() -> None:
    async def main() -> None:
        async with running() as supervisor:
            asked = requests(16, 200)  # 3200 tokens; the ring has 64 slots
            streams = [supervisor.submit(request) for request in asked]
            time.sleep(0.3)  # the whole event loop: the engine must wait, and lose nothing
            for request, stream in zip(asked, streams, strict=True):
                assert_complete(request, await collect(stream))

    asyncio.run(main())


def test_too_many_requests_are_refused_and_records_come_back() -> None:
    async def main() -> None:
        async with running("--nap", "0.01") as supervisor:
            streams = [supervisor.submit(request) for request in requests(16, 20)]
            with pytest.raises(Overloaded, match="all 16"):
                supervisor.submit(Request([1], 1))
            await asyncio.gather(*map(collect, streams))
            assert_complete(Request([1], 3), await collect(supervisor.submit(Request([1], 3))))

    asyncio.run(main())


def test_cancel_ends_a_stream_and_only_that() -> None:
    async def main() -> None:
        async with running("--nap", "0.005") as supervisor:
            kept, dropped = (supervisor.submit(request) for request in requests(2, 60))
            assert (await anext(dropped)).index == 0
            dropped.cancel()
            dropped.cancel()
            events = await collect(dropped)
            assert events[-1].finish is FinishReason.CANCELLED
            assert events[-1].token == -1
            assert len(events) < 50
            assert_complete(requests(2, 60)[0], await collect(kept))
            dropped.cancel()

    asyncio.run(main())


def test_cancelled_streams_do_not_wait_for_the_next_engine() -> None:
    async def main() -> None:
        async with running("--nap", "0.02") as supervisor:
            stream = supervisor.submit(Request([1], 500))
            await anext(stream)
            os.kill(supervisor.info()["engine_pid"], signal.SIGKILL)
            stream.cancel()
            events = await asyncio.wait_for(collect(stream), 5)
            assert events[-1].finish is FinishReason.CANCELLED

    asyncio.run(main())


@pytest.mark.parametrize(
    ("point", "count"), [("step", 1), ("commit", 23), ("committed", 22), ("publish", 7), ("published", 8)]
)
def test_death_at_a_point_is_not_seen_by_the_streams(point: str, count: int, tmp_path: Path) -> None:
    async def main() -> None:
        async with running("--kill-at", f"{point}:{count}", "--once", str(tmp_path / "died")) as supervisor:
            asked = requests(3, 40)
            got = await asyncio.gather(*(collect(supervisor.submit(request)) for request in asked))
            for request, events in zip(asked, got, strict=True):
                assert_complete(request, events)
            assert supervisor.info()["restarts"] == 1

    asyncio.run(main())


def test_kills_at_random_instants() -> None:
    async def main() -> None:
        rng = random.Random(7)
        async with running("--nap", "0.004") as supervisor:
            asked = requests(6, 200)
            streams = [asyncio.create_task(collect(supervisor.submit(request))) for request in asked]
            for _ in range(5):
                await asyncio.sleep(rng.uniform(0.05, 0.4))
                pid = supervisor.info()["engine_pid"]
                if pid:
                    os.kill(pid, signal.SIGKILL)
            for request, events in zip(asked, await asyncio.gather(*streams), strict=True):
                assert_complete(request, events)
            assert supervisor.info()["restarts"] >= 3

    asyncio.run(main())


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_fails_the_request_that_causes_it_and_no_other(fault: str) -> None:
    async def main() -> None:
        async with running("--poison", f"666:{fault}") as supervisor:
            asked = [*requests(3, 30), Request([5, 666], 30)]
            got = await asyncio.gather(*(collect(supervisor.submit(request)) for request in asked))
            for request, events in zip(asked[:3], got[:3], strict=True):
                assert_complete(request, events)
            assert [(e.token, e.finish) for e in got[3]] == [(-1, FinishReason.FAULT)]
            assert supervisor.info()["restarts"] == 2

    asyncio.run(main())


def test_a_poisoned_request_in_mid_stream_keeps_what_it_had() -> None:
    request = Request([1, 2], 40)
    poison = expected(request)[7]

    async def main() -> None:
        async with running("--poison", f"{poison}:SIGSEGV") as supervisor:
            events = await collect(supervisor.submit(request))
            assert [event.token for event in events] == [*expected(request)[:8], -1]
            assert events[-1].finish is FinishReason.FAULT

    asyncio.run(main())


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor gives up after three barren deaths."""
    monkeypatch.setattr(supervisor_module, "MAX_BARREN_DEATHS", 3)


@pytest.mark.usefixtures("impatient")
def test_sigkill_blames_nobody_however_often() -> None:
    async def main() -> None:
        async with running("--poison", "666:SIGKILL") as supervisor:
            stream = supervisor.submit(Request([666], 5))
            [event] = await collect(stream)
            assert event.finish is FinishReason.ERROR, "not FAULT"
            assert "died 3 times" in supervisor.info()["down"]
            with pytest.raises(EngineDownError, match="SIGKILL"):
                supervisor.submit(Request([1], 1))

    asyncio.run(main())


def test_refusal_says_why_at_once() -> None:
    async def main() -> None:
        with pytest.raises(EngineDownError, match=r"^no such op$"):
            async with running("--refuse", "no such op"):
                pass

    asyncio.run(main())


def test_who_asked_before_a_refusal_is_told_why() -> None:
    async def main() -> None:
        supervisor = Supervisor([sys.executable, "-m", "tests.engine.toy", "--refuse", "no such op"], SIZES)
        starting = asyncio.create_task(supervisor.start())
        stream = supervisor.submit(Request([1], 1))
        with pytest.raises(EngineDownError):
            await starting
        [event] = await collect(stream)
        assert (event.finish, event.reason) == (FinishReason.ERROR, "no such op")
        await supervisor.stop()

    asyncio.run(main())


@pytest.mark.usefixtures("impatient")
def test_an_engine_that_never_gets_up_is_given_up() -> None:
    async def main() -> None:
        with pytest.raises(EngineDownError, match="exit code 70"):
            async with running("--fail-in-recover"):
                pass

    asyncio.run(main())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_idle_engine_and_its_supervisor_use_no_processor_time() -> None:
    async def main() -> None:
        async with running() as supervisor:
            await collect(supervisor.submit(Request([1], 5)))
            await asyncio.sleep(0.5)  # the engine ends its step and checks its integrity
            stat = Path(f"/proc/{supervisor.info()['engine_pid']}/stat")
            before = (time.process_time(), processor_ticks(stat))
            await asyncio.sleep(0.6)
            assert time.process_time() - before[0] < 0.02
            assert processor_ticks(stat) - before[1] <= 2

    asyncio.run(main())


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Fails when the condition does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.005)


def processor_ticks(stat: Path) -> int:
    """User and system time of a process (proc(5)), in ticks of 10 ms."""
    fields = stat.read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_engine_dies_with_its_server() -> None:
    code = """if True:
        import asyncio, sys
        from tests.engine.test_supervisor import running, Request
        async def main():
            async with running("--nap", "0.01") as supervisor:
                await anext(supervisor.submit(Request([1], 500)))
                print(supervisor.info()["engine_pid"], flush=True)
                await asyncio.sleep(60)
        asyncio.run(main())
    """
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        pid = int(server.stdout.readline())
        server.kill()
    assert eventually_gone(pid)


def eventually_gone(pid: int) -> bool:
    for _ in range(100):
        with contextlib.suppress(FileNotFoundError):
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
                time.sleep(0.05)
                continue
        return True
    return False


def test_stop_ends_engine_and_streams() -> None:
    async def main() -> None:
        async with running("--nap", "0.01") as supervisor:
            stream = supervisor.submit(Request([1], 500))
            await anext(stream)
            pid = supervisor.info()["engine_pid"]
        events = await collect(stream)
        assert events[-1].finish is FinishReason.CANCELLED
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    asyncio.run(main())
