"""Killing the real engine: no stream may show it. Every event is compared with those of an undisturbed engine."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from struct import pack

import pytest

from ostinato.backends.choose import BACKENDS
from ostinato.backends.sampling import Sampling
from ostinato.engine import supervisor as supervisor_module
from ostinato.engine.loading import Options, open_model
from ostinato.engine.records_table import FinishReason
from ostinato.engine.request import Request, TokenEvent
from ostinato.engine.supervisor import Stream, Supervisor
from tests.engine.simulate import VOCAB
from tests.engine.victim import POINTS, SIZES
from tests.support import BUILTIN

Make = Callable[[], Supervisor]
Answer = list[tuple[int, int, FinishReason, bytes]]


def victim(*options: str) -> Make:
    return lambda: Supervisor([sys.executable, "-m", "tests.engine.victim", *options], SIZES)


def builtin(backend: str, **choices: int) -> Make:
    options = Options(backend=backend, threads=1, context=512, max_sequences=8, blocks=160, **choices)

    def make() -> Supervisor:
        opened = open_model(BUILTIN, options)
        try:
            return Supervisor.for_model(opened, options, capacity=32)
        finally:
            opened.file.close()

    return make


@asynccontextmanager
async def running(make: Make) -> AsyncIterator[Supervisor]:
    supervisor = make()
    try:
        await supervisor.start()
        yield supervisor
    finally:
        await supervisor.stop()


def requests(count: int, vocab: int, tokens: int, seed: int) -> list[Request]:
    """Greedy and sampled, with and without log-probabilities, some with a common prefix."""
    rng = random.Random(seed)
    stem = [rng.randrange(3, vocab) for _ in range(20)]
    return [
        Request(
            prompt=stem[: rng.randrange(20)] + [rng.randrange(3, vocab) for _ in range(rng.randrange(1, 30))],
            max_tokens=rng.randrange(tokens // 2, tokens),
            sampling=Sampling(temperature=float(number % 2), seed=rng.randrange(2**64), logprobs=number % 4 - 1),
        )
        for number in range(count)
    ]


def frozen(event: TokenEvent) -> tuple[int, int, FinishReason, bytes]:
    """An event to the bit (NaN included), without the number of its request."""
    logprobs = pack(f"<{1 + len(event.top)}f", event.logprob, *(logprob for _, logprob in event.top))
    ids = pack(f"<{len(event.top)}i", *(token for token, _ in event.top))
    return event.index, event.token, event.finish, logprobs + ids


async def answer(stream: Stream) -> Answer:
    return [frozen(event) async for event in stream]


async def undisturbed(make: Make, asked: list[Request]) -> list[Answer]:
    async with running(make) as supervisor:
        answers = await asyncio.gather(*(answer(supervisor.submit(request)) for request in asked))
        assert supervisor.info()["restarts"] == 0
        assert all(got[-1][2] is not FinishReason.ERROR for got in answers)
        return answers


async def under_load(supervisor: Supervisor, asked: list[Request], expected: list[Answer], done: asyncio.Event) -> int:
    """Asks the same requests over and over until `done`, each answer compared; returns how many there were."""

    async def worker(number: int) -> int:
        count = 0
        while not (done.is_set() and count):
            assert await answer(supervisor.submit(asked[number])) == expected[number], f"request {number}"
            count += 1
        return count

    return sum(await asyncio.gather(*map(worker, range(len(asked)))))


async def kill_at_random(supervisor: Supervisor, kills: int, longest: float, rng: random.Random) -> None:
    """Kills `kills` engines, whatever they are doing; now and then three running, before they are ready."""
    while supervisor.info()["restarts"] < kills:
        await asyncio.sleep(rng.uniform(0, longest))
        for _ in range(3 if rng.random() < 0.1 else 1):
            await kill_engine(supervisor)
            await asyncio.sleep(rng.uniform(0, 0.2))
        async with asyncio.timeout(60):
            while not supervisor.info()["ready"]:
                await asyncio.sleep(0.005)


async def kill_engine(supervisor: Supervisor) -> None:
    """Returns when there is another engine process."""
    async with asyncio.timeout(60):
        while (pid := supervisor.info()["engine_pid"]) is None:
            await asyncio.sleep(0.002)
        os.kill(pid, signal.SIGKILL)
        while supervisor.info()["engine_pid"] in (pid, None):
            await asyncio.sleep(0.002)


def survive(make: Make, undisturbed_make: Make, asked: list[Request], kills: int, longest: float) -> None:
    async def main() -> None:
        expected = await undisturbed(undisturbed_make, asked)
        async with running(make) as supervisor:
            done = asyncio.Event()
            load = asyncio.create_task(under_load(supervisor, asked, expected, done))
            killing = asyncio.create_task(kill_at_random(supervisor, kills, longest, random.Random(kills)))
            await asyncio.wait({load, killing}, return_when=asyncio.FIRST_COMPLETED)
            done.set()
            assert await load >= len(asked)
            await killing
            assert supervisor.info()["restarts"] >= kills
            assert supervisor.info()["streams"] == 0

    asyncio.run(main())


@pytest.mark.parametrize("side", ["", "+"], ids=["before", "after"])
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("run_steps", [1, 5])
def test_death_around_a_call(point: str, side: str, run_steps: int, tmp_path: Path) -> None:
    """Of about 30 calls with single steps; of about 8 with runs."""
    asked = requests(4, VOCAB, 30, seed=1)
    calls = random.Random(point + side).randrange(5, 20) if run_steps == 1 else 4

    async def main() -> None:
        expected = await undisturbed(victim(), asked)
        deadly = victim(
            "--kill-at",
            f"{point}{side}:{calls}",
            "--once",
            str(tmp_path / "died"),
            "--run-steps",
            str(run_steps),
        )
        async with running(deadly) as supervisor:
            assert await asyncio.gather(*(answer(supervisor.submit(request)) for request in asked)) == expected
            assert supervisor.info()["restarts"] == 1

    asyncio.run(main())


# Single steps; runs whose length follows their pace, in one piece; in parts, ended by newcomers; and where keys and
# values die with the engine.
WAYS = (
    ["--run-steps", "1"],
    ["--executable", "whole"],
    ["--executable", "parts", "--run-steps", "30"],
    ["--executable", "forgetful"],
)


@pytest.mark.parametrize("way", WAYS, ids=["single", "whole", "parts", "forgetful"])
def test_kills_at_random_instants(way: list[str]) -> None:
    survive(victim("--nap", "0.003", *way), victim(), requests(8, VOCAB, 120, seed=2), kills=6, longest=0.3)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS, ids=["single", "whole", "parts", "forgetful"])
def test_two_hundred_kills_null(way: list[str]) -> None:
    survive(victim("--nap", "0.003", *way), victim(), requests(12, VOCAB, 150, seed=3), kills=200, longest=0.4)


BACKENDS_UNDER_TEST = {"cpu": 100, "webgpu": 16}  # tokens of an answer


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_hundred_kills_cpu() -> None:
    """Not on a software WebGPU adapter: it compiles its shaders anew after every kill, for longer than kills wait."""
    asked = requests(8, 500, 3 * BACKENDS_UNDER_TEST["cpu"], seed=4)
    survive(builtin("cpu"), builtin("cpu", run_steps=1), asked, kills=200, longest=0.8)


@pytest.mark.parametrize("backend", ["cpu", pytest.param("webgpu", marks=pytest.mark.slow)])
def test_three_kills(backend: str) -> None:
    require(backend)
    asked = requests(4, 500, BACKENDS_UNDER_TEST[backend], seed=5)
    survive(builtin(backend), builtin(backend, run_steps=1), asked, kills=3, longest=0.5)


def require(backend: str) -> None:
    probe = BACKENDS[backend]().probe()
    if not probe.available:
        pytest.skip(f"backend {backend} is not available: {probe.device}")


@pytest.mark.parametrize("fault", ["SIGSEGV", "SIGABRT"])
def test_a_fault_fails_its_request_alone(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    poison = 77
    asked = [Request([token], 40, Sampling(temperature=0.0)) for token in (5, 6, 7)]
    make = builtin("null")

    async def main() -> None:
        expected = await undisturbed(make, asked)
        clean = [got for got in expected if poison not in [token for _, token, _, _ in got]]
        assert len(clean) == len(asked), "choose another poison"
        monkeypatch.setenv("OSTINATO_NULL_FAULT", f"{poison}:{fault}")
        async with running(make) as supervisor:
            poisoned = supervisor.submit(Request([8, poison, 9], 40))
            streams = [supervisor.submit(request) for request in asked]
            assert [event.finish async for event in poisoned] == [FinishReason.FAULT]
            assert await asyncio.gather(*map(answer, streams)) == expected
            assert supervisor.info()["restarts"] == 2

    asyncio.run(main())


def test_a_fault_in_the_middle_of_a_run_fails_its_request_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [Request([token], 40, Sampling(temperature=0.0)) for token in (8, 5, 6)]
    make = builtin("null", run_steps=32)

    async def main() -> None:
        expected = await undisturbed(make, asked)
        drawn = [[token for _, token, _, _ in got] for got in expected]
        at = next(i for i in range(15, 30) if drawn[0][i] not in [*drawn[0][:i], *drawn[1], *drawn[2]])
        monkeypatch.setenv("OSTINATO_NULL_FAULT", f"{drawn[0][at]}:SIGSEGV")
        async with running(make) as supervisor:
            streams = [supervisor.submit(request) for request in asked]
            poisoned, *others = await asyncio.gather(*map(answer, streams))
            assert poisoned[:-1] == expected[0][: at + 1]
            assert poisoned[-1][1:3] == (-1, FinishReason.FAULT)
            assert others == expected[1:]
            assert supervisor.info()["restarts"] == 2

    asyncio.run(main())


def test_a_stray_fault_signal_makes_suspects_but_costs_no_answer() -> None:
    asked = requests(6, VOCAB, 80, seed=6)

    async def main() -> None:
        expected = await undisturbed(victim(), asked)
        async with running(victim("--nap", "0.003")) as supervisor:
            streams = [supervisor.submit(request) for request in asked]
            answers = [asyncio.create_task(answer(stream)) for stream in streams]
            while not all(stream.received for stream in streams):
                await asyncio.sleep(0.005)
            os.kill(supervisor.info()["engine_pid"], signal.SIGSEGV)
            assert await asyncio.gather(*answers) == expected
            assert supervisor.info()["restarts"] == 1

    asyncio.run(main())


def test_a_killing_request_is_not_blamed_for_sigkill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSTINATO_NULL_FAULT", "77:SIGKILL")
    monkeypatch.setattr(supervisor_module, "MAX_BARREN_DEATHS", 3)

    async def main() -> None:
        async with running(builtin("null")) as supervisor:
            finishes = [event.finish async for event in supervisor.submit(Request([77], 5))]
            assert finishes == [FinishReason.ERROR]
            assert "SIGKILL" in supervisor.info()["down"]

    asyncio.run(main())
