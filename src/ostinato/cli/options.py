"""Arguments that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato.cli.errors import USAGE, CliError
from ostinato.cli.settings import SETTINGS, Kind, Setting, Values

if TYPE_CHECKING:
    from ostinato.backends.contract import KVType
    from ostinato.engine.loading import Options

BUILTIN = Path(__file__).resolve().parent.parent / "models" / "ostinato-tiny.gguf"
MODEL_HELP = "a GGUF file (default: the built-in model)"
# Values of KVType and of the enums in memory/options.py: --help imports no other folder.
KV_TYPES = ("f16", "f32", "q8_0")
POLICIES = ("lru", "lfu", "lfru")  # without the oracle, which needs a recorded trace
PREFETCHES = ("none", "gate", "transitions")
COARSE_SHARE = 0.125
READ_MODES = ("direct", "cached", "mapped")
MACHINE = ("backend", "threads", "run_steps", "context", "kv_type", "memory", "gpu_memory")
STREAMING = (
    "policy", "per_layer", "fixed", "prefetch", "read_mode", "replica", "expert_profile", "checksums", "coarse",
    "coarse_share",
)  # fmt: skip
CONTEXT_HELP = "tokens of a prompt and its answer together (default: the model's own, at most 8192)"


def add_machine(parser: argparse.ArgumentParser, context: str = CONTEXT_HELP) -> None:
    """--backend --threads --context --run-steps, --memory and what belongs to it; `context` says what it counts."""
    group = parser.add_argument_group("machine")
    group.add_argument("--backend", metavar="NAME", help="one that `ostinato doctor` lists (default: the best)")
    group.add_argument("--threads", type=positive, metavar="N", help="threads (default: one per core)")
    group.add_argument(
        "--run-steps", type=positive, metavar="N", help="decode steps a device does by itself (default: 50 ms of them)"
    )
    group.add_argument("--context", type=positions, metavar="N", help=context)
    add_kv_type(group)
    _add_memory(parser)


def add_kv_type(group: argparse._ArgumentGroup) -> None:
    """--kv-type."""
    group.add_argument(
        "--kv-type", choices=KV_TYPES,
        help="how keys and values are kept (default: f16, f32 for a file of f32; q8_0: half of f16, on the CPU only)",
    )  # fmt: skip


def _add_memory(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("models larger than memory")
    group.add_argument(
        "--memory", type=_amount, metavar="AMOUNT",
        help="a budget of everything, as 8GiB or 50%% of the file; experts (of a dense model: layers) that it does not "
        "hold are read when needed",
    )  # fmt: skip
    group.add_argument(
        "--gpu-memory", type=_amount, metavar="AMOUNT",
        help="the same of a card's memory: experts that it does not hold are read across the bus; --memory is then the "
        "most that the machine's own may take for them",
    )  # fmt: skip
    group.add_argument("--policy", choices=POLICIES, help="which experts stay (default: lfru)")
    group.add_argument("--per-layer", action="store_true", help="every layer has slots of its own")
    group.add_argument("--fixed", action="store_true", help="slots stay where they are (default: where they hit most)")
    group.add_argument("--prefetch", choices=PREFETCHES, help="what guesses experts ahead of time (default: gate)")
    group.add_argument(
        "--read-mode", choices=READ_MODES,
        help="past the page cache, through it, or from a mapping (default: direct)",
    )  # fmt: skip
    group.add_argument(
        "--replica", action="append", default=[], metavar="FILE",
        help="a copy of the model's file that serves failed reads; one for each part",
    )  # fmt: skip
    group.add_argument("--expert-profile", metavar="FILE", help="experts to keep, as `ostinato profile` saved them")
    group.add_argument(
        "--checksums", metavar="FILE", help="what experts are verified with when read, as `ostinato checksums` saved it"
    )
    group.add_argument(
        "--coarse", metavar="FILE",
        help="the same model with smaller experts, as `ostinato quantize` makes it: an expert that is missing and "
        "matters little is computed from there where that is faster; answers may then differ from run to run",
    )  # fmt: skip
    group.add_argument(
        "--coarse-share", type=_share, metavar="S",
        help=f"what has less than this part of all rows' router weights matters little (default: {COARSE_SHARE})",
    )  # fmt: skip


def kv_type(options: argparse.Namespace) -> KVType | None:
    """What `add_kv_type` took; None: chosen by the file."""
    from ostinato.backends.contract import KVType

    return KVType(options.kv_type) if options.kv_type else None


def machine(options: argparse.Namespace) -> Options:
    """What `add_machine` took, as the engine wants it. Raises CliError for what would be ignored."""
    from ostinato.engine.loading import Options
    from ostinato.memory.options import PolicyName, Prefetch, ReadMode

    _check_streaming(options)
    return Options(
        backend=options.backend,
        threads=options.threads or 0,
        context=options.context,
        run_steps=options.run_steps or 0,
        kv_type=kv_type(options),
        memory=options.memory,
        policy=PolicyName(options.policy or Options.policy),
        prefetch=Prefetch(options.prefetch or Options.prefetch),
        read_mode=ReadMode(options.read_mode or Options.read_mode),
        per_layer=options.per_layer,
        elastic=not options.fixed,
        replicas=tuple(options.replica),
        expert_profile=options.expert_profile,
        checksums=options.checksums,
        gpu_memory=options.gpu_memory,
        coarse=options.coarse,
        coarse_share=options.coarse_share or Options.coarse_share,
    )


def _check_streaming(options: argparse.Namespace) -> None:
    """CliError for options of weights that stream where none do, and of a coarse copy where there is none."""
    given = [name for name in STREAMING if getattr(options, name)]
    if options.gpu_memory is not None:
        given = [name for name in given if name != "expert_profile"]  # a card keeps experts too
        alone = " alone: with --gpu-memory nothing streams from files"
    elif options.memory is None:
        alone = ": without a budget nothing streams"
    elif options.coarse_share and not options.coarse:
        raise CliError("--coarse-share belongs to --coarse: without a copy nothing is computed from one", USAGE)
    else:
        return
    if given:
        raise CliError(f"{_named(given)} {'belongs' if len(given) == 1 else 'belong'} to --memory{alone}", USAGE)


def refuse_machine(options: argparse.Namespace, why: str) -> None:
    """CliError for anything that `add_machine` took, where no model is run."""
    if given := [name for name in (*MACHINE, *STREAMING) if getattr(options, name)]:
        raise CliError(f"{_named(given)} would change nothing: {why}", USAGE)


def _named(names: Sequence[str]) -> str:
    """As they are typed."""
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """How an answer is made: an option for every line of the table."""
    group = parser.add_argument_group("answer")
    for name, setting in SETTINGS.items():
        option = f"--{name.replace('_', '-')}"
        if setting.kind is Kind.SWITCH:
            group.add_argument(option, action="store_true", help=setting.text)
        elif setting.kind is Kind.TEXTS:
            group.add_argument(
                option, action="append", type=nonempty, default=[], metavar=setting.metavar,
                help=f"{setting.text}; repeatable",
            )  # fmt: skip
        else:
            default = f" (default: {setting.show(setting.default)})" if setting.default != "" else ""
            group.add_argument(
                option, type=_typed(setting), default=setting.default, metavar=setting.metavar,
                help=setting.text + default,
            )  # fmt: skip


def settings(options: argparse.Namespace) -> Values:
    """What `add_settings` took."""
    return {name: getattr(options, name) for name in SETTINGS}


def _typed(setting: Setting) -> Callable[[str], Any]:
    """A setting's parser, with argparse's own error."""

    def parse(text: str) -> Any:
        try:
            return setting.parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def add_json(parser: argparse.ArgumentParser) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def nonempty(text: str) -> str:
    """A text that can be searched for."""
    if not text:
        raise argparse.ArgumentTypeError("the text is empty; leave the option out")
    return text


def positive(text: str) -> int:
    """An argument that counts something."""
    return _between(text, 1, 2**31 - 1)


def positions(text: str) -> int:
    """A context; far beyond any model's, within what a block table can hold."""
    return _between(text, 1, 2**24)


def _amount(text: str) -> str:
    """An amount of memory, as it was typed: a part is of a file that is not open yet."""
    from ostinato.memory.budget import BudgetError, parse_budget

    try:
        parse_budget(text, 2**40)
    except BudgetError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _share(text: str) -> float:
    """A part of a whole."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text[:40]!r}; expected a number over 0, at most 1")
    return value


def port(text: str) -> int:
    """A TCP port; 0 stands for a free one."""
    return _between(text, 0, 2**16 - 1)


def _between(text: str, low: int, high: int) -> int:
    if not (text.isdecimal() and len(text) < 12 and low <= int(text) <= high):
        raise argparse.ArgumentTypeError(f"{text[:40]!r}; expected a whole number from {low} to {high}")
    return int(text)
