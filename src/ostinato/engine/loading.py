"""From a path to something that runs: file, tokenizer, spec, programs, plan, executable.

Every choice is made here once and kept in a frozen object: which backend, how many threads, how long a context,
how many KV blocks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ostinato.backends.choose import choose, look
from ostinato.backends.contract import Backend, Executable, KVType, Plan, Probe
from ostinato.backends.host import memory_bytes
from ostinato.gguf.reader import GGUFFile, open_gguf
from ostinato.gguf.types_table import TensorType
from ostinato.memory.options import COARSE_SHARE, PolicyName, Prefetch, ReadMode, Settings, StoreOptions
from ostinato.model.architectures import ModelError, read_spec
from ostinato.model.spec import ModelSpec
from ostinato.program.compile import compile_model
from ostinato.program.ir import Programs

if TYPE_CHECKING:
    from ostinato.gguf.tokenizer import Tokenizer

DEFAULT_CONTEXT = 8192  # positions, where the model was trained for more
KV_SHARE_OF_MEMORY = 4  # at most a quarter of the machine's memory for KV, unless asked for
KV_SHARE_OF_BUDGET = 16  # at most so much of a budget, unless one sequence needs more
KV_SHARE_OF_DEVICE = 2  # at most half of what the weights leave of a device's own memory
VALUES_SHARE = 48  # of a budget of memory, for the values of a step; what is worked in beside takes as much and more
FEWEST_ROWS = 64  # of a step of prompts, however small the budget
MAX_THREADS = 1024  # beyond the cores of any machine; the system refuses to start many more
MIN_CONTEXT = 2  # a prompt token and an answer


class PlanError(ValueError):
    """Options that no plan can satisfy; the text says what was asked for and what is possible."""


@dataclass(frozen=True)
class Options:
    """What a user may say about how a model is run. None and 0 mean: choose."""

    backend: str | None = None
    threads: int = 0
    context: int | None = None  # positions of one sequence
    max_rows: int = 512
    max_sequences: int = 64
    max_logit_rows: int = 64
    blocks: int | None = None
    block_size: int = 16
    kv_type: KVType | None = None
    embed: bool = False  # embeddings instead of answers, where the file says how to pool
    run_steps: int = 0  # decode steps that a backend may do by itself; 1: none but single ones (engine/pace.py)
    memory: str | None = None  # a budget of everything ("8GiB", "50%" of the file): what it does not hold streams
    policy: PolicyName = PolicyName.LFRU
    prefetch: Prefetch = Prefetch.GATE
    read_mode: ReadMode = ReadMode.DIRECT
    per_layer: bool = False  # every layer has slots of its own
    elastic: bool = True  # slots move to where they are worth most, also to and from keys and values
    replicas: tuple[str, ...] = ()  # copies of the model's files, in their order, that serve failed reads
    expert_profile: str | None = None  # experts to keep, by a file of `ostinato profile`
    checksums: str | None = None  # a file of `ostinato checksums`: what is read is verified
    gpu_memory: str | None = None  # a budget of a device's memory; experts beyond it lie in pinned host memory
    coarse: str | None = None  # the model with smaller experts: misses that matter little may be computed from these
    coarse_share: float = COARSE_SHARE  # of a row's router weights: what has less of all rows matters little


@dataclass(frozen=True)
class Opened:
    """A model that was read and planned, but holds no device memory yet.

    `hosted`: keys and values lie in the machine's own memory, where they can outlive an engine; not in a device's.
    """

    path: Path
    file: GGUFFile
    spec: ModelSpec
    programs: Programs
    plan: Plan
    backend: Backend
    run_steps: int = 0
    hosted: bool = True

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """Built on use: an engine process never needs it. Raises TokenizerError; ModelError for another model's."""
        from ostinato.gguf.tokenizer import Tokenizer

        tokenizer = Tokenizer.from_gguf(self.file)
        if tokenizer.vocab_size != self.spec.vocab_size:
            raise ModelError(
                f"{self.path}: the tokenizer has {tokenizer.vocab_size} tokens, the model's embedding "
                f"{self.spec.vocab_size}: one of them belongs to another model"
            )
        return tokenizer

    def check_answers(self) -> None:
        """ModelError for a model that makes embeddings only."""
        if self.programs.embeds:
            raise ModelError(f"{self.path}: an encoder: it turns text into embeddings and gives no answers")

    @contextmanager
    def closed_on_error(self) -> Iterator[None]:
        """The file is closed where the block raises: whoever was to hold it is not there."""
        try:
            yield
        except BaseException:
            self.file.close()
            raise

    def compile(self, memory: Mapping[str, memoryview] | None = None) -> Executable:
        """The executable; `memory` places the paged state (one writable buffer per cache group). Raises CompileError
        and, where there is a budget, what `Residency.open` raises."""
        plan = replace(self.plan, memory=memory) if memory is not None else self.plan
        return self.backend.compile(self.programs, self.file.tensors, plan)


def open_model(
    path: str | os.PathLike[str], options: Options = Options(), file: GGUFFile | None = None, beside_bytes: int = 0
) -> Opened:
    """Reads and plans a model; `file` is the one of this path, where it is open already. `beside_bytes` of other
    processes count for a budget of memory.

    Raises BackendError for the choice of backend, GGUFError or ModelError for the file, ShapeError, WeightError or
    VerifyError for tensors that do not fit each other, PlanError or BudgetError for the options. The file is closed
    then.
    """
    file = open_gguf(path) if file is None else file
    try:
        backend = choose(options.backend)
        probe = look(backend)
        if options.memory is not None and options.gpu_memory is None:
            file.sparse()
        elif not probe.memory_bytes and file.nbytes <= memory_bytes():
            file.populate()  # while all that follows is computed
        spec = read_spec(file)
        if options.embed and spec.pooling is None:
            raise PlanError(f"{path}: the file does not say how its rows become an embedding (`pooling_type`)")
        programs = compile_model(spec, file.tensors, served_context(spec, options), options.embed)
        plan = make_plan(spec, programs, file, options, probe)
        if options.gpu_memory is None:
            plan = with_budget(plan, programs, file, options, beside_bytes)
        else:
            plan = with_device_budget(plan, file, options, probe, beside_bytes)
        return Opened(Path(path), file, spec, programs, plan, backend, options.run_steps, not probe.memory_bytes)
    except BaseException:
        file.close()
        raise


def served_context(spec: ModelSpec, options: Options) -> int:
    """Positions of one sequence: what was asked for, or what the model was trained for within the default."""
    return min(spec.context, DEFAULT_CONTEXT) if options.context is None else options.context


def with_budget(plan: Plan, programs: Programs, file: GGUFFile, options: Options, beside_bytes: int) -> Plan:
    """The plan with the residency of the weights, where `options.memory` says how much there is. Raises BudgetError."""
    if options.memory is None:
        if options.replicas or options.expert_profile or options.checksums or options.coarse:
            raise PlanError(
                "replicas, profiles, checksums and coarse copies are for weights that stream: give a budget of memory"
            )
        return plan
    if options.coarse and options.checksums:
        raise PlanError("checksums are of the model's own experts: a coarse copy's would not be verified")
    if not 0 < options.coarse_share <= 1:
        raise PlanError(
            f"a share of {options.coarse_share:g} of a row's router weights: expected more than 0, at most 1"
        )
    from ostinato.memory.budget import parse_budget
    from ostinato.memory.residency import plan_residency

    budget = parse_budget(options.memory, file.nbytes)
    plan = replace(plan, max_rows=rows_within(budget, programs, plan))
    store = StoreOptions(mode=options.read_mode, policy=options.policy)
    settings = Settings(
        store, options.prefetch, options.per_layer, options.elastic, options.replicas, options.expert_profile,
        options.checksums, options.coarse, options.coarse_share,
    )  # fmt: skip
    state_bytes = sum(plan.cache_bytes(group) for group in programs.caches)
    residency = plan_residency(programs, file, settings, budget, state_bytes, memory_bytes(), beside_bytes)
    return replace(plan, residency=residency)


def with_device_budget(plan: Plan, file: GGUFFile, options: Options, probe: Probe, beside_bytes: int) -> Plan:
    """The plan with a budget of the device's memory, and what experts beside it may be pinned in: of `options.memory`,
    or else of the machine's and its group's, what this process and others do not hold. Raises BudgetError."""
    if options.replicas or options.checksums or options.coarse:
        raise PlanError(
            "replicas, checksums and coarse copies are for weights that stream from files: give --memory alone"
        )
    from ostinato.memory.budget import parse_budget
    from ostinato.memory.device import check_device, pinnable_bytes

    assert options.gpu_memory is not None
    device = check_device(parse_budget(options.gpu_memory, file.nbytes), probe.memory_bytes)
    budget = None if options.memory is None else parse_budget(options.memory, file.nbytes)
    pinned = pinnable_bytes(budget, memory_bytes(), beside_bytes)
    return replace(plan, device_memory=device, pinned_memory=pinned, expert_profile=options.expert_profile)


def rows_within(budget: int, programs: Programs, plan: Plan) -> int:
    """Rows of a step whose values leave nearly all of a budget to weights: at a small one, fewer than asked for."""
    from ostinato.passes.buffers import plan_buffers

    if programs.embeds:  # a text is one step
        return plan.max_rows
    least, rows = plan_buffers(programs.prefill, 1, 1).arena_bytes, plan.max_rows
    while rows > FEWEST_ROWS and plan_buffers(programs.prefill, rows, 1).arena_bytes - least > budget // VALUES_SHARE:
        rows //= 2
    return rows


def make_plan(spec: ModelSpec, programs: Programs, file: GGUFFile, options: Options, probe: Probe) -> Plan:
    """Resolves the options. KV: every sequence slot at full context, within a share of the memory, but always one
    whole sequence. The memory is the machine's, or a device's own, which holds the weights too; a device may also
    limit what one layer takes. Raises PlanError for threads, a context or recurrent state that cannot be."""
    if not 0 <= options.threads <= MAX_THREADS:
        raise PlanError(f"{options.threads} threads: expected 1 to {MAX_THREADS}, or 0 for one per core")
    context = served_context(spec, options)
    kv_type = options.kv_type or kv_type_of(file)
    per_block = max(1, sum(kv_type.bytes(g.elements(options.block_size)) for g in programs.caches))
    per_sequence = -(-context // options.block_size)
    memory, shared, share = _memory(file, probe.memory_bytes, options)
    state = _state_bytes(programs, options.max_sequences, memory)
    memory -= state
    per_layer = max((kv_type.bytes(g.elements(options.block_size)) // g.layers for g in programs.caches), default=1)
    possible = probe.layer_bytes // per_layer if probe.layer_bytes else memory // per_block
    _check_context(context, memory, possible * options.block_size, max(1, per_block // options.block_size))
    affordable = min(max(0, shared - state) // share // per_block, possible)
    blocks = options.blocks or max(per_sequence, min(affordable, per_sequence * options.max_sequences))
    return Plan(
        max_rows=context if programs.embeds else options.max_rows,
        max_logit_rows=max(options.max_logit_rows, options.max_sequences),
        max_sequences=options.max_sequences,
        context=context,
        blocks=blocks,
        block_size=options.block_size,
        kv_type=kv_type,
        threads=options.threads,
    )


def _memory(file: GGUFFile, device_bytes: int, options: Options) -> tuple[int, int, int]:
    """Bytes that keys and values may lie in; those of which a share is meant for them, and the share. On the machine
    weights are pages of a file, which give way; in a budget they take what is left; on a device they come first, unless
    a budget leaves little or nothing behind them: then experts give way."""
    from ostinato.memory.budget import parse_budget

    weights = sum(tensor.data.nbytes for tensor in file.tensors.values())
    if options.gpu_memory is not None:
        budget = parse_budget(options.gpu_memory, file.nbytes)
        whole = device_bytes or memory_bytes()
        most = min(budget, whole)
        few = most - weights < most // KV_SHARE_OF_BUDGET
        return (whole, most, KV_SHARE_OF_BUDGET) if few else (whole, most - weights, KV_SHARE_OF_DEVICE)
    if options.memory is not None:
        return memory_bytes(), min(memory_bytes(), parse_budget(options.memory, file.nbytes)), KV_SHARE_OF_BUDGET
    if not device_bytes:
        return memory_bytes(), memory_bytes(), KV_SHARE_OF_MEMORY
    left = max(0, device_bytes - weights)
    return left, left, KV_SHARE_OF_DEVICE


def _state_bytes(programs: Programs, sequences: int, memory: int) -> int:
    """Bytes of the recurrent state of so many sequences. Raises PlanError where they leave nothing of `memory`."""
    need = sequences * sum(group.slot_bytes for group in programs.states)
    if need and need >= memory:
        raise PlanError(f"the recurrent state of {sequences} sequences needs {need} bytes of {memory}; serve fewer")
    return need


def _check_context(context: int, memory: int, positions: int, bytes_per_position: int) -> None:
    """`positions`: as many as the device keeps, however much memory there is."""
    most = min(memory // bytes_per_position, positions)
    if not MIN_CONTEXT <= context <= most:
        raise PlanError(
            f"a context of {context} positions: expected {MIN_CONTEXT} to {most}, for whose keys and values "
            f"({bytes_per_position} bytes each) there is room"
        )


def kv_type_of(file: GGUFFile) -> KVType:
    """A file of unreduced weights gets unreduced keys and values."""
    matrices = [t for t in file.tensors.values() if len(t.shape) >= 2]
    return KVType.F32 if all(t.type is TensorType.F32 for t in matrices) else KVType.F16
