"""The measurements of bench/cpu.py on warm models: one stream, several, long contexts. Rounds alternate between all
that take part, each in a process that stays; before and after every turn of ours the memory's speed is read."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.candidates import Candidate, Peers, best, scout
from bench.figures import Figure, Record, median
from bench.floor import bytes_per_token, kv_bytes_per_position, prefill_operations, read_bandwidth
from bench.worker import SEED_CONTEXT, Worker, WorkerError
from ostinato.backends.contract import KVType

PROMPT, TOKENS = 512, 32  # of one stream
SHORT_PROMPT, SHORT_TOKENS = 16, 16  # of several
LOOK_PROMPT, LOOK_TOKENS = 128, 16  # where candidates are chosen
SEQUENCES = {4: 2.5, 8: 3.5, 16: 4.0, 32: 5.0}  # and the ratio that is wanted
DEPTHS = (8192, 32768)
DEEP_TOKENS = 16
PAUSE = 0.05  # seconds before a turn: threads of the last one go to sleep
OURS = "ostinato"


@dataclass(frozen=True)
class Setup:
    """What all measurements share."""

    threads: int
    rounds: int
    slow_rounds: int  # of the longest context
    peers: Peers
    levels: Sequence[str]  # ours, the best first
    has_amx: bool

    def ours(
        self,
        model: Path,
        context: int,
        sequences: int = 1,
        level: str = "",
        kv_type: str = "f16",
        inside: Sequence[str] = (),
    ) -> Worker:
        """Words of `inside` come before the command."""
        words = ["--threads", str(self.threads), "--context", str(context), "--sequences", str(sequences)]
        command = [*inside, sys.executable, "-m", "bench.ours", str(model), *words, "--kv-type", kv_type]
        return Worker(f"{OURS} {level}".strip(), command, {"OSTINATO_CPU": level} if level else {})

    def label(self, level: str) -> str:
        """What the worker of a level is called among all that take part."""
        return OURS if level == self.levels[0] else f"{OURS} {level}"


Shape = Mapping[str, int | str]  # of llama.cpp's context
Looks = dict[Candidate, Record]
Chosen = AbstractSet[Candidate | None]  # None: no build could do it
Ask = Callable[[Worker], Record]
Result = tuple[list[Figure], Record]  # and what they were made of
STREAM: Shape = {"sequences": 1, "context": PROMPT + TOKENS + 1}


def alternate(setup: Setup, workers: Mapping[str, Worker], ask: Ask, rounds: int) -> list[Record]:
    """`rounds` times every worker's answer, by its name; every other round the other way round."""
    found = []
    for number in range(rounds):
        record: Record = {}
        for name in list(workers)[:: 1 if number % 2 == 0 else -1]:
            record[name] = _turn(setup, workers[name], ask, probe=name == OURS)
        found.append(record)
    return found


def _turn(setup: Setup, worker: Worker, ask: Ask, probe: bool) -> Record:
    before = read_bandwidth(setup.threads, passes=1) if probe else 0.0
    time.sleep(PAUSE)
    answer = ask(worker)
    if probe:
        after = read_bandwidth(setup.threads, passes=1)
        answer["read_bytes_per_second"] = {"before": before, "after": after}
    return answer


def _share_read(rounds: Sequence[Record], step_bytes: float) -> float:
    """Of the memory's speed just before and after, in the median: steps a second times the bytes that each reads."""

    def share(ours: Record) -> float:
        speed = statistics.mean(ours["read_bytes_per_second"].values())
        return float(ours["decode_steps_per_second"] * step_bytes / speed)

    return statistics.median(share(r[OURS]) for r in rounds)


def _rates(worker: Worker, sequences: int, prompt: int, tokens: int) -> Record:
    answer = worker.ask("run", sequences=sequences, prompt=prompt, tokens=tokens)
    return {
        "prefill": sequences * prompt / answer["prefill_seconds"],
        "decode": sequences * tokens / answer["decode_seconds"],
        "decode_steps_per_second": tokens / answer["decode_seconds"],
    }


def _scouted(
    setup: Setup, model: Path, shape: Shape, settings: list[Candidate], ask: Ask, builds: Sequence[str]
) -> Looks:
    def look(candidate: Candidate) -> Record:
        with setup.peers.start(candidate, model, setup.threads, shape) as worker:
            return ask(worker)

    return scout(builds, look, settings)


def _peers(stack: ExitStack, setup: Setup, model: Path, shape: Shape, chosen: Chosen) -> dict[str, Worker]:
    """A worker for each of those chosen, by its name."""
    candidates = sorted(filter(None, chosen), key=str)
    return {str(c): stack.enter_context(setup.peers.start(c, model, setup.threads, shape)) for c in candidates}


def _as_json(looks: Looks) -> Record:
    return {str(candidate): record for candidate, record in looks.items()}


def _best_of(rounds: Sequence[Record], names: Sequence[str], figure: str) -> tuple[float, str]:
    """The highest median, and whose it is."""
    if not names:
        raise WorkerError("no build of llama.cpp has these instructions alone: python -m bench.build_peers")
    return max((median(rounds, name, figure), name) for name in names)


# ------------------------------------------------------------------------------------------------ one stream


def one_stream(setup: Setup, name: str, model: Path) -> Result:
    """Decode and prefill, also at lesser instruction levels against builds with the same instructions."""
    same = {level: setup.peers.same_instructions(level, setup.has_amx) for level in setup.levels}
    looks, chosen = _stream_peers(setup, model, same)
    with ExitStack() as stack:
        ours = _levels(stack, setup, model)
        workers = ours | _peers(stack, setup, model, STREAM, chosen)
        about = {label: worker.ask("about") for label, worker in workers.items()}
        roofs = {label: _roofs(setup, worker) for label, worker in ours.items()}
        for worker in workers.values():
            _rates(worker, 1, LOOK_PROMPT, 4)
        rounds = alternate(setup, workers, lambda w: _rates(w, 1, PROMPT, TOKENS), setup.rounds)
        memory = {label: worker.ask("memory")["peak_bytes"] for label, worker in ours.items()}
    step_bytes = bytes_per_token(model) + (PROMPT + TOKENS / 2) * kv_bytes_per_position(model, KVType.F16)
    figures = [_decode(rounds, name, step_bytes), *_prefill(setup, rounds, name, model, same, roofs)]
    made_of = {
        "looks": _as_json(looks), "about": about, "roofs": roofs, "bytes_per_token": step_bytes, "rounds": rounds,
        "peak_memory_bytes": memory,
    }  # fmt: skip
    return figures, made_of


def _stream_peers(setup: Setup, model: Path, same: Mapping[str, list[str]]) -> tuple[Looks, Chosen]:
    """Looks at one stream; the best of all at each figure, and those of each level's builds at prefill."""
    settings = [Candidate("native", repack, flash) for repack in (True, False) for flash in ("on", "off")]

    def quickly(worker: Worker) -> Record:
        rates = _rates(worker, 1, LOOK_PROMPT, LOOK_TOKENS)
        return {figure: rates[figure] for figure in ("prefill", "decode")}

    looks = _scouted(setup, model, STREAM, settings, quickly, setup.peers.builds)
    chosen = {best(looks, figure, setup.peers.builds) for figure in ("prefill", "decode")}
    return looks, chosen | {best(looks, "prefill", builds) for builds in same.values()}


def _levels(stack: ExitStack, setup: Setup, model: Path) -> dict[str, Worker]:
    """A worker of ours for each instruction level."""
    started = ((level, setup.ours(model, PROMPT + TOKENS + 1, level=level)) for level in setup.levels)
    return {setup.label(level): stack.enter_context(worker) for level, worker in started}


def _roofs(setup: Setup, worker: Worker) -> Record:
    looks = [worker.ask("roofs", threads=setup.threads) for _ in range(3)]
    return {kind: max(look[kind] for look in looks) for kind in ("int8", "f32")}


def _theirs(rounds: Sequence[Record]) -> list[str]:
    return [name for name in rounds[0] if not name.startswith(OURS)]


def _decode(rounds: Sequence[Record], name: str, step_bytes: float) -> Figure:
    peer, how = _best_of(rounds, _theirs(rounds), "decode")
    share = _share_read(rounds, step_bytes)
    ours = median(rounds, OURS, "decode")
    return Figure("decode", name, ours, peer, how, share, "read bandwidth", wanted_share=0.8)


def _prefill(
    setup: Setup, rounds: Sequence[Record], name: str, model: Path, same: Mapping[str, list[str]], roofs: Record
) -> Iterator[Figure]:
    """Against the best of all, and each level against the best build with its instructions."""
    operations = prefill_operations(model, PROMPT) / PROMPT

    def share(label: str, rate: float) -> float | None:
        return rate * operations / roofs[label]["int8"] if roofs[label]["int8"] else None

    peer, how = _best_of(rounds, _theirs(rounds), "prefill")
    ours = median(rounds, OURS, "prefill")
    wanted = (4.0 if name == "MoE" else 5.0) if setup.has_amx else None
    yield Figure(
        "prefill 512", name, ours, peer, how, share(OURS, ours), "8-bit peak", wanted_ratio=wanted
    )  # fmt: skip
    for level in setup.levels:
        if level == "amx":
            continue
        label = setup.label(level)
        ours = median(rounds, label, "prefill")
        peer, how = _best_of(rounds, [n for n in _theirs(rounds) if n.split(",")[0] in same[level]], "prefill")
        case = f"{name}, {level} alone"
        yield Figure("prefill 512", case, ours, peer, how, share(label, ours), "8-bit peak", wanted_ratio=1.5)


# --------------------------------------------------------------------------------------------------- several


def several(setup: Setup, model: Path) -> Result:
    """4 to 32 sequences at once."""
    context, most = SHORT_PROMPT + SHORT_TOKENS + 1, max(SEQUENCES)
    shape: Shape = {"sequences": most, "context": context}
    settings = [Candidate("native", repack, unified=unified) for repack in (True, False) for unified in (False, True)]

    def quickly(worker: Worker) -> Record:
        return {str(n): _rates(worker, n, SHORT_PROMPT, SHORT_TOKENS // 2)["decode"] for n in (4, 16)}

    looks = _scouted(setup, model, shape, settings, quickly, setup.peers.strongest)
    chosen = {best(looks, figure, setup.peers.builds) for figure in ("4", "16")}
    rounds: dict[str, list[Record]] = {}
    with ExitStack() as stack:
        ours = stack.enter_context(setup.ours(model, context, most))
        workers = {OURS: ours} | _peers(stack, setup, model, shape, chosen)
        for n in SEQUENCES:
            ours.ask("run", sequences=n, prompt=SHORT_PROMPT, tokens=2)
            ask = partial(_rates, sequences=n, prompt=SHORT_PROMPT, tokens=SHORT_TOKENS)
            rounds[str(n)] = alternate(setup, workers, ask, setup.rounds)
    figures = [_together(rounds[str(n)], n, wanted) for n, wanted in SEQUENCES.items()]
    return figures, {"looks": _as_json(looks), "rounds": rounds}


def _together(rounds: Sequence[Record], sequences: int, wanted: float) -> Figure:
    peer, how = _best_of(rounds, _theirs(rounds), "decode")
    ours = median(rounds, OURS, "decode")
    return Figure("sequences at once", str(sequences), ours, peer, how, wanted_ratio=wanted)


# ---------------------------------------------------------------------------------------------- long contexts


def long_context(setup: Setup, model: Path, kv_type: str) -> Result:
    """Decode behind 8k and 32k positions; fewer rounds of the latter."""
    pieces = max(DEPTHS) // SEED_CONTEXT  # sequences that llama.cpp's long context is put together of
    shape: Shape = {"sequences": pieces, "context": SEED_CONTEXT + 8, "kv-type": kv_type}
    looks, chosen = _deep_peer(setup, model, shape, kv_type)
    rounds: dict[str, list[Record]] = {}
    with ExitStack() as stack:
        ours = stack.enter_context(setup.ours(model, max(DEPTHS) + 64, kv_type=kv_type))
        workers = {OURS: ours} | _peers(stack, setup, model, shape, {chosen})
        for depth in DEPTHS:
            ask = partial(_deep_rate, depth=depth, tokens=DEEP_TOKENS)
            count = setup.slow_rounds if depth == max(DEPTHS) else setup.rounds
            rounds[str(depth)] = alternate(setup, workers, ask, count)
    figures = [_deep_figure(rounds[str(depth)], model, kv_type, depth, str(chosen)) for depth in DEPTHS]
    return figures, {"looks": _as_json(looks), "rounds": rounds}


def _deep_peer(setup: Setup, model: Path, shape: Shape, kv_type: str) -> tuple[Looks, Candidate]:
    """Looks at the lesser depth, and who was best."""
    flash = ("on", "off") if kv_type == "f16" else ("on",)  # llama.cpp quantises values with flash attention only
    settings = [Candidate("native", repack, f, unified=True) for repack in (True, False) for f in flash]

    def quickly(worker: Worker) -> Record:
        return {"decode": _deep_rate(worker, DEPTHS[0], 4)["decode"]}

    looks = _scouted(setup, model, shape, settings, quickly, setup.peers.strongest)
    chosen = best(looks, "decode", setup.peers.builds)
    assert chosen is not None
    return looks, chosen


def _deep_figure(rounds: Sequence[Record], model: Path, kv_type: str, depth: int, how: str) -> Figure:
    step_bytes = bytes_per_token(model) + depth * kv_bytes_per_position(model, KVType(kv_type))
    return Figure(
        f"decode at {depth // 1024}k", f"KV {kv_type}", median(rounds, OURS, "decode"), median(rounds, how, "decode"),
        how, _share_read(rounds, step_bytes), "read bandwidth", wanted_ratio=1.5,
    )  # fmt: skip


def _deep_rate(worker: Worker, depth: int, tokens: int) -> Record:
    rate = tokens / worker.ask("deep", depth=depth, tokens=tokens)["decode_seconds"]
    return {"decode": rate, "decode_steps_per_second": rate}
