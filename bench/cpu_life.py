"""The measurements of bench/cpu.py around the life of a process: its start, its memory, a neighbour on one of its
cores, and a server that has nothing to do."""

from __future__ import annotations

import os
import shlex
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.candidates import Candidate
from bench.cgroup import evict, memory_group
from bench.cpu_rows import OURS, PROMPT, STREAM, TOKENS, Result, Setup
from bench.figures import Figure, Record
from bench.floor import kv_bytes_per_position
from bench.worker import ROOT, Worker, WorkerError
from ostinato.backends.contract import KVType

CLI = (sys.executable, "-m", "ostinato.cli.main")
START_PROMPT = 16  # tokens
START_TOKENS = 112
BUSY_PROMPT, BUSY_TOKENS = 16, 16
IDLE_SECONDS = 10
FULL_SPEED = 0.95  # of the unlimited one: rounds differ by as much
SPIN = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"
CONTEXT = PROMPT + TOKENS + 1
PEERS = tuple(Candidate(build, repack) for build in ("native", "threads") for repack in (True, False))


@dataclass(frozen=True)
class Command:
    """Of ours; str() is what is written down: as anybody may type it, whose file lies somewhere else."""

    arguments: Sequence[str]
    model: Path

    @property
    def words(self) -> list[str]:
        """What runs."""
        return [*CLI, *self.arguments]

    def __str__(self) -> str:
        shown = (self.model.name if word == str(self.model) else word for word in self.arguments)
        return shlex.join(["ostinato", *shown])


def _machine(setup: Setup) -> list[str]:
    return ["--backend", "cpu", "--threads", str(setup.threads)]


def _peers(setup: Setup) -> list[Candidate]:
    return [c for c in PEERS if c.build in setup.peers.builds]


# ----------------------------------------------------------------------------------------------------- start


def start(setup: Setup, model: Path) -> Result:
    """A process from nothing to its first token, the file in the page cache, and how soon it has its full speed."""
    model.read_bytes()  # into the page cache
    prompt = _words_of(model, START_PROMPT)
    words = ["run", str(model), prompt, "--max-tokens", str(START_TOKENS), "--temperature", "0", *_machine(setup)]
    command = Command(words, model)
    ours: list[list[float]] = []
    theirs: dict[str, list[float]] = {str(c): [] for c in _peers(setup)}
    _token_times(command)  # modules are compiled once, at installation
    for _ in range(setup.rounds):
        ours.append(_token_times(command))
        for candidate in _peers(setup):
            with setup.peers.start(candidate, model, setup.threads, STREAM) as worker:
                theirs[str(candidate)].append(worker.ask("about")["start_seconds"])
    peer, how = min((statistics.median(seconds), name) for name, seconds in theirs.items())
    first = statistics.median(times[0] for times in ours)
    figures = [
        Figure("start", "first token", first, peer, f"{how} (without its interpreter)", unit="s", wanted_most=0.29),
        _pace("by token 32", [_speed(times[23:33]) for times in ours], ours),
        _pace("in the second second", [_speed([t for t in times if 1 <= t <= 2]) for times in ours], ours),
    ]
    return figures, {"command": str(command), "token_seconds": ours, "start_seconds": theirs}


def _pace(case: str, speeds: Sequence[float], runs: Sequence[Sequence[float]]) -> Figure:
    shares = [speed / _speed(times[START_TOKENS // 2 :]) for speed, times in zip(speeds, runs, strict=True)]
    return Figure(
        "start", f"speed {case}", statistics.median(speeds), share=statistics.median(shares), share_of="the steady one",
        wanted_share=0.9,
    )  # fmt: skip


def _speed(times: Sequence[float]) -> float:
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0


def _words_of(model: Path, tokens: int) -> str:
    """A prompt of so many tokens, with all that the file wants before them."""
    from ostinato.gguf.reader import open_gguf
    from ostinato.gguf.tokenizer import Tokenizer

    with open_gguf(model) as file:
        tokenizer = Tokenizer.from_gguf(file)
        for count in range(1, 4 * tokens):
            text = " ".join("abcdefgh"[i % 8] for i in range(count))
            if len(tokenizer.encode(text, add_special=True)) == tokens:
                return text
    raise WorkerError(f"no prompt of {tokens} tokens for {model}")


def _token_times(command: Command) -> list[float]:
    """Seconds from the start of the process to each piece of its answer (a token, where all of them are text)."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    process = subprocess.Popen(
        command.words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=ROOT, env=environment
    )  # fmt: skip
    assert process.stdout is not None
    times = []
    while os.read(process.stdout.fileno(), 4096):
        times.append(time.perf_counter() - started)
    if process.wait() or len(times) < START_TOKENS:
        raise WorkerError(f"{command} gave {len(times)} pieces of text for {START_TOKENS} tokens")
    return times[:START_TOKENS]


# ---------------------------------------------------------------------------------------------------- memory


def memory(setup: Setup, model: Path) -> Result:
    """Speed where file, keys and values may have 15 % more than they need, and peaks with the page cache."""
    limit = int(1.15 * (model.stat().st_size + CONTEXT * kv_bytes_per_position(model, KVType.F16)))
    rounds, peak = _limited(setup, model, limit)
    peaks = {str(candidate): _peak(setup, model, candidate) for candidate in _peers(setup)[:2]}
    how = min(peaks, key=lambda name: peaks[name])
    share = statistics.median(r["limited"] / r["free"] for r in rounds)
    speed = statistics.median(r["limited"] for r in rounds)
    figures = [
        Figure(
            "memory", "decode in file + KV + 15 %", speed, share=share, share_of="the unlimited",
            wanted_share=FULL_SPEED,
        ),
        Figure("memory", "peak with page cache", peak / 1e9, peaks[how] / 1e9, how, unit="GB", wanted_most=limit / 1e9),
    ]  # fmt: skip
    return figures, {"limit_bytes": limit, "peak_bytes": peak, "peer_peak_bytes": peaks, "rounds": rounds}


def _limited(setup: Setup, model: Path, limit: int) -> tuple[list[Record], int]:
    """Decode rates within the limit and without one, by turns, and the peak of the former. Raises WorkerError."""
    evict(model)
    with memory_group(limit) as group, setup.ours(model, CONTEXT, inside=group.words) as limited:
        _decode_rate(limited)
        with setup.ours(model, CONTEXT) as free:
            _decode_rate(free)
            rounds = [{"limited": _decode_rate(limited), "free": _decode_rate(free)} for _ in range(setup.rounds)]
        peak = group.peak()
    if peak < model.stat().st_size:
        raise WorkerError(f"{model} is held in memory by another process, which is charged for it")
    return rounds, peak


def _peak(setup: Setup, model: Path, candidate: Candidate) -> int:
    """Bytes of a peer's process and its page cache, after a prompt."""
    evict(model)
    with memory_group(None) as group:
        with setup.peers.start(candidate, model, setup.threads, STREAM, inside=group.words) as worker:
            worker.ask("run", sequences=1, prompt=PROMPT, tokens=4)
        return group.peak()


# ----------------------------------------------------------------------------------------------- a busy core


def busy(setup: Setup, model: Path) -> Result:
    """Decode while another process never gives back one of the cores."""
    core = max(os.sched_getaffinity(0))
    with ExitStack() as stack:
        workers = {OURS: stack.enter_context(setup.ours(model, CONTEXT))}
        for candidate in (peer for peer in _peers(setup) if peer.repack):
            started = setup.peers.start(candidate, model, setup.threads, STREAM)
            workers[str(candidate)] = stack.enter_context(started)
        rounds = [
            {name: _disturbed(worker, core) for name, worker in workers.items()} for _ in range(setup.slow_rounds)
        ]

    def middle(name: str, what: str) -> float:
        return statistics.median(r[name][what] for r in rounds)

    peer, how = max((middle(name, "disturbed"), name) for name in workers if name != OURS)
    share = statistics.median(r[OURS]["disturbed"] / r[OURS]["alone"] for r in rounds)
    ours_rate = middle(OURS, "disturbed")
    figure = Figure(
        "decode", f"a core of {setup.threads} busy", ours_rate, peer, how, share, "undisturbed", wanted_share=0.4
    )
    return [figure], {"rounds": rounds}


def _disturbed(worker: Worker, core: int) -> Record:
    alone = _decode_rate(worker)
    neighbour = subprocess.Popen([sys.executable, "-c", SPIN, str(core)])
    try:
        time.sleep(0.3)
        return {"alone": alone, "disturbed": _decode_rate(worker)}
    finally:
        neighbour.kill()
        neighbour.wait()


def _decode_rate(worker: Worker) -> float:
    answer = worker.ask("run", sequences=1, prompt=BUSY_PROMPT, tokens=BUSY_TOKENS)
    return float(BUSY_TOKENS / answer["decode_seconds"])


# ------------------------------------------------------------------------------------------------------ idle


def idle(setup: Setup, model: Path) -> Result:
    """Processor time of a server that nobody asks, after it has answered."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = Command(["serve", str(model), "--port", str(port), "--name", "m", *_machine(setup)], model)
    server = subprocess.Popen(command.words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
    try:
        _answer(port, server)
        time.sleep(2)
        before = _processor_seconds(server.pid)
        time.sleep(IDLE_SECONDS)
        used = _processor_seconds(server.pid) - before
    finally:
        server.terminate()
        server.wait(20)
    figure = Figure("idle server", f"processor time in {IDLE_SECONDS} s", used, unit="s", wanted_most=0.0)
    return [figure], {"command": str(command)}


def _answer(port: int, server: subprocess.Popen[bytes]) -> None:
    """One completion, once it is there. Raises WorkerError."""
    body = b'{"model": "m", "prompt": "a b c", "max_tokens": 4}'
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/completions", body)
    request.add_header("Content-Type", "application/json")
    for _ in range(100):
        try:
            urllib.request.urlopen(request, timeout=30).read()
        except OSError as error:
            if server.poll() is not None:
                raise WorkerError(f"the server ended: {error}") from None
            time.sleep(0.2)
        else:
            return
    raise WorkerError("the server does not answer")


def _processor_seconds(pid: int) -> float:
    """User and system time of a process and all below it, so far."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    own = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(_processor_seconds(int(child)) for child in children)
