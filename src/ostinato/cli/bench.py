"""`ostinato bench MODEL -p 512 -n 128 -b 1,4`: how fast a model runs in this process, medians of several rounds.

What the figures mean:

    load_seconds                from opening the file (imports included) to a model that takes its first prompt
    first_token_seconds         from submitting all prompts of the batch to the last of their first tokens
    prefill_tokens_per_second   all prompt tokens of the batch over first_token_seconds
    decode_tokens_per_second    all tokens after the first ones, over the time they took

and with --memory, of the prompts (prefill_...) and of the tokens after the first ones (decode_...):

    ..._read_bytes_per_token    bytes of experts that were read
    ..._hit_rate                of the experts that were wanted, the part that was there
    ..._prefetch_recall         the part that had been foreseen
    ..._prefetch_precision      of those that were foreseen, the part that was wanted
    ..._stall_seconds_per_token time in which a step waited for experts
    unforeseen                  layers whose experts the prefetcher that was asked for cannot guess, and why

with --gpu-memory likewise:

    ..._device_hit_rate         of the experts that a step wanted, the part that was on the device
    ..._bus_bytes_per_token     bytes of the others, read across the bus
    ..._moved_bytes_per_token   bytes of experts that were moved into slots
    device_plan                 slots, pinned memory, and the bus as it was timed at the start
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato.cli.bus import BusFigures, planned, print_bus
from ostinato.cli.digest import digest
from ostinato.cli.errors import USAGE, CliError
from ostinato.cli.options import BUILTIN, MODEL_HELP, add_json, add_machine, machine, positive
from ostinato.cli.output import print_json, print_table, size
from ostinato.cli.progress import Progress, progress
from ostinato.cli.spinner import Spinner

if TYPE_CHECKING:
    from ostinato.backends.contract import Executable
    from ostinato.cli.roofline import Profile, Profiler
    from ostinato.engine.engine import Engine
    from ostinato.engine.loading import Opened, Options
    from ostinato.engine.local import LocalPort, Stream
    from ostinato.engine.request import Request
    from ostinato.memory.residency import WeightStore
    from ostinato.memory.statistics import Statistics

Figures = dict[str, float]
STORE_HEADER = ("BATCH", "EXPERTS OF", "READ/TOKEN", "HITS", "RECALL", "PRECISION", "COARSE", "STALL/TOKEN")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", nargs="?", type=Path, default=BUILTIN, help=MODEL_HELP)
    parser.add_argument(
        "-p", "--prompt", type=positive, default=512, metavar="N", help="tokens of a prompt (default: 512)"
    )
    parser.add_argument(
        "-n", "--generate", type=positive, default=128, metavar="N", help="tokens to decode (default: 128)"
    )
    parser.add_argument(
        "-b", "--batch", type=_counts, default=[1], metavar="N,...", help="sequences at once (default: 1)"
    )
    parser.add_argument("-r", "--rounds", type=positive, default=3, metavar="N", help="repetitions (default: 3)")
    parser.add_argument(
        "--profile", action="store_true", help="time every instruction too, beside what the machine does at most"
    )
    add_machine(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    started = time.perf_counter()
    with Spinner(f"loading {options.model.name}"):
        session = Session.open(options)
    load_seconds = time.perf_counter() - started
    with session:
        profiler = _profiler(session) if options.profile else None
        with progress("measuring", len(options.batch) * (options.rounds + 1), "rounds") as bar:
            batches = [_measure(session, options, batch, bar, profiler) for batch in options.batch]
        profile = profiler.report() if profiler else None
        report = _report(session, options, load_seconds, batches, profile)
    if options.json:
        print_json(report)
        return 0
    _print(report)
    for line in profile.lines() if profile else ():
        print(line)
    return 0


def _report(
    session: Session, options: argparse.Namespace, load_seconds: float, batches: Sequence[Figures],
    profile: Profile | None,
) -> dict[str, Any]:  # fmt: skip
    """What was measured, of what and how, as JSON values."""
    from ostinato.backends.slotted import hot_set

    store = session.executable.store
    rule = store.miss_rule if store else None
    return {
        "model": str(options.model),
        "model_sha256": digest([part.path for part in session.opened.file.parts], direct=bool(options.memory)),
        "backend": session.opened.backend.name,
        "device": session.opened.backend.probe().device,
        "threads": options.threads,
        "run_steps": options.run_steps,
        "prompt_tokens": options.prompt,
        "generated_tokens": options.generate,
        "rounds": options.rounds,
        "load_seconds": load_seconds,
        **{key: value for key, value in batches[0].items() if key != "batch"},
        "peak_memory_bytes": peak_memory_bytes(),
        "batches": batches,
        "reads": {"latency_seconds": rule.latency, "bytes_per_second": rule.rate} if rule else None,
        "unforeseen": [asdict(layer) for layer in (store.unforeseen if store else ())],
        "device_plan": planned(hot_set(session.executable)),
        **({"profile": profile.as_json()} if profile else {}),
    }


@dataclass(frozen=True)
class Session:
    """A loaded model and its engine, in this process."""

    opened: Opened
    executable: Executable
    port: LocalPort
    engine: Engine

    @classmethod
    def open(cls, options: argparse.Namespace) -> Session:
        """Raises ValueError where the model's context is too short."""
        from dataclasses import replace

        needed = options.prompt + options.generate + 1
        batch = max(options.batch)
        settings = replace(machine(options), context=options.context or needed, max_sequences=max(batch, 1))
        if settings.context is not None and settings.context < needed:
            raise ValueError(f"a prompt of {options.prompt} and {options.generate} more need --context {needed}")
        return cls.load(options.model, settings)

    @classmethod
    def load(cls, model: Path, settings: Options) -> Session:
        from ostinato.engine.loading import open_model
        from ostinato.engine.local import local_engine

        opened = open_model(model, settings)
        with opened.closed_on_error():
            opened.check_answers()
            executable = opened.compile()
        engine, port = local_engine(opened, executable, settings.max_sequences)
        return cls(opened, executable, port, engine)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.executable.close()
        self.opened.file.close()

    def measure(
        self, prompts: Sequence[Sequence[int]], tokens: int, at_first: Callable[[], None] = lambda: None
    ) -> tuple[float, float]:
        """Seconds until every prompt has its first token, and from there until each has `tokens` greedy ones more.
        `at_first` is called in between. Raises CliError where one fails: its tokens would seem to take no time."""
        from ostinato.backends.sampling import Sampling
        from ostinato.engine.request import Request

        greedy = Sampling(temperature=0.0)
        started = time.perf_counter()
        streams = [self._submit(Request(prompt, tokens + 1, greedy)) for prompt in prompts]
        first = 0.0
        while not all(stream.finish for stream in streams):
            self.engine.step()
            if not first and all(stream.events for stream in streams):
                first = time.perf_counter()
                at_first()
        ended = time.perf_counter()
        self.engine.drain()
        for stream in streams:
            if stream.failure:
                raise CliError(stream.failure)
        return first - started, ended - first

    def _submit(self, request: Request) -> Stream:
        """There is a record for every sequence of the largest batch."""
        stream = self.port.submit(request)
        assert stream is not None
        return stream


def _profiler(session: Session) -> Profiler:
    from ostinato.backends.profile import Profiling
    from ostinato.cli.roofline import Profiler

    if not isinstance(session.executable, Profiling):
        raise CliError(f"the backend {session.opened.backend.name} cannot time instructions; --backend cpu can", USAGE)
    return Profiler(session.executable, session.opened.file.tensors, session.opened.plan.kv_type)


def _measure(
    session: Session, options: argparse.Namespace, batch: int, bar: Progress, profiler: Profiler | None
) -> Figures:
    """Medians; a round before the first warms up and is not counted. The bar is drawn between rounds."""
    rounds = []
    for seed in range(options.rounds + 1):
        rounds.append(_round(session, options, batch, seed))
        bar.advance()
        if profiler and seed == 0:
            profiler.start()
    if profiler:
        profiler.read(options.prompt, options.generate, batch)
    del rounds[0]
    return {"batch": batch, **{key: statistics.median(r[key] for r in rounds) for key in rounds[0]}}


def _round(session: Session, options: argparse.Namespace, batch: int, seed: int) -> Figures:
    """One round of greedy answers to random prompts, new ones each time: the prefix cache must not help."""
    import numpy as np

    from ostinato.backends.slotted import hot_set

    random = np.random.default_rng((seed, batch))
    prompts = random.integers(0, session.opened.spec.vocab_size, (batch, options.prompt)).tolist()
    meters = (StoreFigures(session.executable.store), BusFigures(hot_set(session.executable)))
    tokens = {"prefill": batch * options.prompt, "decode": batch * options.generate}
    prefill, decode = session.measure(prompts, options.generate, lambda: _mark(meters))
    _mark(meters)
    found = {
        "first_token_seconds": prefill,
        "prefill_tokens_per_second": tokens["prefill"] / prefill,
        "decode_tokens_per_second": tokens["decode"] / decode,
    }
    for meter in meters:
        for part, what in enumerate(tokens):
            found |= meter.figures(what, part, tokens[what])
    return found


def _mark(meters: Sequence[StoreFigures | BusFigures]) -> None:
    for meter in meters:
        meter.mark()


class StoreFigures:
    """What a weight store counts between one mark and the next; nothing where there is none."""

    def __init__(self, store: WeightStore | None) -> None:
        self._store = store
        self._marks: list[Statistics] = []
        self.mark()

    def mark(self) -> None:
        from ostinato.memory.statistics import statistics

        if self._store is not None:
            self._marks.append(statistics(self._store.native))

    def figures(self, what: str, mark: int, tokens: int) -> Figures:
        """Of the stretch that begins with that mark, in which so many tokens were computed."""
        if self._store is None:
            return {}
        found = self._marks[mark + 1].since(self._marks[mark])
        return {
            f"{what}_read_bytes_per_token": found.bytes_read / tokens,
            f"{what}_hit_rate": found.hit_rate,
            f"{what}_prefetch_recall": found.recall,
            f"{what}_prefetch_precision": found.precision,
            f"{what}_stall_seconds_per_token": found.stall_seconds / tokens,
            f"{what}_coarse_share": found.coarse_share,
        }


def _counts(text: str) -> list[int]:
    return [positive(part) for part in text.split(",")]


def peak_memory_bytes() -> int:
    """The largest resident set of this process so far (`ru_maxrss`: KiB on Linux, bytes on macOS)."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _print(report: dict[str, Any]) -> None:
    batches: Sequence[Figures] = report["batches"]
    print(f"{report['model']} on {report['backend']} ({report['device']})")
    print(f"loaded in {report['load_seconds']:.3f} s, peak memory {size(report['peak_memory_bytes'])}")
    rows = [
        (
            f"{figures['batch']}",
            f"{1e3 * figures['first_token_seconds']:.1f} ms",
            f"{figures['prefill_tokens_per_second']:.1f} tokens/s",
            f"{figures['decode_tokens_per_second']:.1f} tokens/s",
        )
        for figures in batches
    ]
    prompt, generated = report["prompt_tokens"], report["generated_tokens"]
    header = ("BATCH", "FIRST TOKEN", f"PREFILL {prompt}", f"DECODE {generated}")
    print_table(rows, header, right=(0, 1, 2, 3))
    if "decode_hit_rate" in batches[0]:
        print()
        print_table([_store_row(f, what) for f in batches for what in ("prefill", "decode")], STORE_HEADER, range(2, 8))
    if report["reads"] is not None:
        print(_reads(**report["reads"]))
    if report["device_plan"]:
        print_bus(report["device_plan"], batches)
    for layer in report["unforeseen"]:
        print(f"layer {layer['layer']} has no hints: {layer['reason']}")


def _reads(latency_seconds: float, bytes_per_second: float) -> str:
    """What the rule for coarse copies takes a read for."""
    return f"a read, as fitted at start: {1e3 * latency_seconds:.2f} ms and {size(bytes_per_second)} a second"


def _store_row(figures: Figures, what: str) -> tuple[str, ...]:
    """What was read of a batch, by the token."""
    found = {key.removeprefix(f"{what}_"): value for key, value in figures.items() if key.startswith(what)}
    shares = ("hit_rate", "prefetch_recall", "prefetch_precision", "coarse_share")
    rates = [f"{100 * found[key]:.1f} %" for key in shares]
    stall = f"{1e3 * found['stall_seconds_per_token']:.2f} ms"
    return f"{figures['batch']}", what, size(found["read_bytes_per_token"]), *rates, stall
