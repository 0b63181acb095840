"""What a persistent launch must get right, on the host implementation: each scenario ends with the same bits.

Tests run them as they are; `python -m tests.backends.cuda.scenarios tsan` runs them all under a sanitizer whose
runtime is preloaded (test_sanitized.py).
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from ostinato.backends.batch import Batch, Enter, Span, TableEdit
from ostinato.backends.batch_table import Kind
from ostinato.backends.contract import KVType, Plan
from ostinato.backends.cuda.machine import PERSISTENT_SEQUENCES, Left
from ostinato.backends.cuda.ring import Taken
from ostinato.backends.device.state_table import DRAWN, NO_BLOCK, NOTHING
from ostinato.backends.sampling import Sampling
from ostinato.gguf.types_table import TensorType
from ostinato.model.kinds_table import Activation, RopeStyle
from ostinato.model.weights import StoredTensor
from ostinato.program.builder import Builder
from ostinato.program.ir import CacheGroup, Programs
from ostinato.program.verify import verify
from tests.backends.cases import Weights
from tests.backends.cuda.host import HostMachine, Running

VOCAB, WIDTH, EXPERTS, HEADS, KV_HEADS, HEAD = 80, 64, 4, 4, 2, 16
PLAN = Plan(max_rows=24, max_logit_rows=8, max_sequences=8, context=64, blocks=128, block_size=4, kv_type=KVType.F16)
MAX_STEPS = 48
PROMPTS = ([3, 1, 4, 1, 5, 9, 2], [6, 5], [35, 8, 9, 7, 9, 3, 2, 3, 8], [46], [2], [64], [33], [8])
SAMPLING = (
    Sampling(temperature=0),
    Sampling(temperature=1.0, seed=5, logprobs=3),
    Sampling(temperature=1.2, top_k=20, top_p=0.9, seed=2**40),
    Sampling(temperature=0.7, repetition_penalty=1.3, frequency_penalty=0.2, seed=8),
    *(Sampling(temperature=1.0, seed=seed) for seed in range(4)),
)
TOKEN = DRAWN.index("token")


@cache
def model() -> tuple[Programs, dict[str, StoredTensor]]:
    """One layer of everything: attention, experts, packed and plain linears, sampling."""
    w = Weights(seed=1)
    b = Builder(w.tensors)
    b.caches.append(CacheGroup("full", 1, KV_HEADS, HEAD, HEAD))

    def matrix(name: str, *shape: int, kind: TensorType = TensorType.F32) -> object:
        return w.normal(name, shape, kind, scale=2 * shape[-1] ** -0.5)

    def norm(name: str, x: str) -> str:
        return b.add("rms_norm", x, weights=(w.put(name, np.ones(WIDTH, np.float32)),), eps=1e-5)

    def linear(name: str, x: str, n: int, kind: TensorType = TensorType.F32) -> str:
        return b.add("linear", x, weights=(matrix(name, n, WIDTH, kind=kind), None))

    x = b.add("embed", weights=(matrix("embed", VOCAB, WIDTH),))
    turn = b.add("angles", dims=HEAD, base=10000.0, weights=(None,))
    h = norm("norm1", x)
    q = b.add("rope", linear("q", h, HEADS * HEAD, TensorType.Q8_0), turn, heads=HEADS, style=RopeStyle.NORM)
    k = b.add("rope", linear("k", h, KV_HEADS * HEAD, TensorType.Q8_0), turn, heads=KV_HEADS, style=RopeStyle.NORM)
    b.add("append", k, linear("v", h, KV_HEADS * HEAD), cache=0, index=0)
    a = b.add("attend", q, cache=0, index=0, heads=HEADS, kv_heads=KV_HEADS, key_dim=HEAD, value_dim=HEAD, scale=0.25)
    x = b.add("add", x, linear("o", a, WIDTH))
    h = norm("norm2", x)
    ids, shares = b.add_many("route", h, weights=(matrix("router", EXPERTS, WIDTH),), top_k=2)
    order, offsets = b.add_many("group", ids, experts=EXPERTS)
    stacks = tuple(matrix(name, EXPERTS, WIDTH, WIDTH) for name in ("gate", "up", "down"))
    e = b.add("experts", h, order, offsets, weights=stacks, act=Activation.SILU)
    x = b.add("add", x, b.add("combine", e, shares))
    logits = linear("output", norm("norm3", b.add("select", x)), VOCAB)
    b.add("sample", logits)
    program = b.program("persistent", {"logits": logits}, VOCAB)
    verify(program, w.tensors)
    return Programs(program, program), w.tensors


def machine(sanitizer: str = "", **options: int) -> HostMachine:
    programs, tensors = model()
    return HostMachine(programs, tensors, PLAN, max_steps=MAX_STEPS, sanitizer=sanitizer, **options)


class Story:
    """A machine, and what each slot has drawn on it: the words of Drawn (and of Best where asked for), per token."""

    def __init__(self, host: HostMachine) -> None:
        self.host = host
        self.drawn: dict[int, list[bytes]] = defaultdict(list)

    def enter(self, *slots: int, blocks: int = PLAN.blocks_per_sequence, limit: int = 2**31 - 1,
              stops: Sequence[int] = ()) -> None:  # fmt: skip
        """Prompts of `slots` in one step of separate launches; each draws its first token."""
        spans = [Span(slot, Kind.PROMPT, 0, PROMPTS[slot], 1, sample=True) for slot in slots]
        enters = [Enter(s, len(PROMPTS[s]), SAMPLING[s], limit=limit, stops=stops) for s in slots]
        self.steps(Batch(spans, enters, [table(slot, 0, blocks) for slot in slots]))

    def steps(self, batch: Batch) -> None:
        """A batch by separate launches."""
        self.host.step(batch)
        count, draws = self.host.record("step"), self.host.record("draws")
        self._keep(self.host.drawn()[:count, :draws], self.host.best()[:count, :draws])

    def keep(self, taken: Taken) -> Left:
        self._keep(taken.drawn, taken.best)
        return taken.left

    def _keep(self, drawn: np.ndarray, best: np.ndarray) -> None:
        for step in zip(drawn, best, strict=True):
            for words, top in zip(*step, strict=True):
                slot = int(words[DRAWN.index("slot")])
                if words[TOKEN] != NOTHING:
                    self.drawn[slot].append(words.tobytes() + (top.tobytes() if SAMPLING[slot].logprobs > 0 else b""))


def table(slot: int, first: int, stop: int) -> TableEdit:
    """Entries first .. stop of a slot's table, scattered over the pool."""
    each = PLAN.blocks_per_sequence
    return TableEdit(0, slot, first, [(slot * each + i) * 5 % PLAN.blocks for i in range(first, stop)])


def run(*slots: int, steps: int = MAX_STEPS, tables: Sequence[TableEdit] = ()) -> Batch:
    return Batch([Span(s, Kind.GENERATED, 0, None, 1, sample=True) for s in slots], tables=tables, steps=steps)


@cache
def alone(slot: int, sanitizer: str) -> list[bytes]:
    """What a slot draws by itself: separate launches, one step a batch, on another grid."""
    story = Story(machine(sanitizer, blocks=2, warps=1))
    story.enter(slot)
    for _ in range(20):
        story.steps(run(slot, steps=1))
    return story.drawn[slot]


def agree(story: Story, sanitizer: str, least: int = 1) -> None:
    """Every slot drew what it draws alone, and at least so many tokens."""
    for slot, drawn in story.drawn.items():
        wanted = alone(slot, sanitizer)
        count = min(len(drawn), len(wanted))
        assert count >= least, f"slot {slot} drew {len(drawn)}"
        assert drawn[:count] == wanted[:count], f"slot {slot} draws something else"


def wait(running: Running, steps: int) -> None:
    """Until so many steps are in the ring or were taken from it."""
    deadline = time.monotonic() + 60
    while running.published() < steps:
        assert time.monotonic() < deadline, f"{running.published()} steps of {steps}"


# --------------------------------------------------------------------------------------------------- scenarios


def a_run_equals_its_steps(sanitizer: str, blocks: int = 4, warps: int = 3) -> None:
    """And leaves the same StepState, keys and values behind."""
    persistent, stepped = (Story(machine(sanitizer, blocks=blocks, warps=warps)) for _ in range(2))
    for story in (persistent, stepped):
        story.enter(0, 1, 2)
    assert persistent.keep(persistent.host.start(run(0, 1, 2, steps=11)).rest()) is Left.STEPS
    stepped.steps(run(0, 1, 2, steps=11))
    assert persistent.drawn == stepped.drawn
    for name in ("state", "kv full", "result"):
        np.testing.assert_array_equal(persistent.host.words(name), stepped.host.words(name))
    agree(persistent, sanitizer, least=12)


def a_join_leaves_prefills_and_relaunches(sanitizer: str) -> None:
    story = Story(machine(sanitizer))
    story.enter(0, 1)
    for late in (2, 3):
        running = story.host.start(run(*range(late)))
        wait(running, 3)
        running.leave()
        assert story.keep(running.rest()) is Left.TOLD
        story.enter(late)
    assert story.keep(story.host.start(run(0, 1, 2, 3, steps=6)).rest()) is Left.STEPS
    agree(story, sanitizer, least=7)


def as_many_as_it_takes(sanitizer: str) -> None:
    slots = range(PERSISTENT_SEQUENCES)
    story = Story(machine(sanitizer))
    story.enter(*slots)
    assert story.keep(story.host.start(run(*slots, steps=5)).rest()) is Left.STEPS
    agree(story, sanitizer, least=6)


def it_leaves_within_a_step(sanitizer: str) -> None:
    """Told before it begins, it makes one step: a launch always gets somewhere."""
    story = Story(machine(sanitizer))
    story.enter(0)
    for _ in range(3):
        running = story.host.start(run(0))
        running.leave()
        taken = running.rest()
        assert story.keep(taken) is Left.TOLD
        assert 1 <= len(taken.drawn) <= story.host.ring_entries
    agree(story, sanitizer, least=4)


def a_full_ring_loses_nothing(sanitizer: str) -> None:
    """The host does not look for a while; then it takes slowly; then it says leave while the ring is full."""
    story = Story(machine(sanitizer, ring_entries=2))
    story.enter(1, 2)
    running = story.host.start(run(1, 2))
    wait(running, 2)
    time.sleep(0.02)
    assert running.published() == 2, "written over what was not taken"
    for taken in range(2, 9):
        story.keep(running.take())
        wait(running, taken)
    wait(running, len(story.drawn[1]) - 1 + 2)
    running.leave()
    assert story.keep(running.rest()) is Left.TOLD
    agree(story, sanitizer, least=9)


def all_stop_early(sanitizer: str) -> None:
    """One at its limit, one after a stop token: the launch ends by itself, and says who drew how much."""
    story = Story(machine(sanitizer))
    first = [int(np.frombuffer(words, np.int32)[TOKEN]) for words in alone(1, sanitizer)]
    ends = next(i for i in range(3, len(first)) if first[i] not in first[:i])
    story.enter(0, limit=len(PROMPTS[0]) + 4)
    story.enter(1, stops=[first[ends], 79])
    assert story.keep(story.host.start(run(0, 1)).rest()) is Left.STOPPED
    assert len(story.drawn[0]) == 4
    assert len(story.drawn[1]) == ends + 1
    agree(story, sanitizer, least=4)


def blocks_run_out(sanitizer: str) -> None:
    """The launch leaves at once, though another slot could go on; with more blocks both go on."""
    story = Story(machine(sanitizer))
    story.enter(0)
    story.enter(1, blocks=2)
    assert story.keep(story.host.start(run(0, 1)).rest()) is Left.BLOCKS
    assert story.host.slot(1, "stopped") == NO_BLOCK
    rows = len(PROMPTS[1]) + len(story.drawn[1]) - 1
    assert rows == 2 * PLAN.block_size, "not all of its blocks were used, or more"
    more = table(1, 2, PLAN.blocks_per_sequence)
    assert story.keep(story.host.start(run(0, 1, steps=5, tables=[more])).rest()) is Left.STEPS
    agree(story, sanitizer, least=rows)


def time_is_limited(sanitizer: str) -> None:
    """A launch of at most a millisecond makes a step or a few; many of them make the same story."""
    story = Story(machine(sanitizer, time_limit=1000))
    story.enter(0, 3)
    for _ in range(3):
        assert story.keep(story.host.start(run(0, 3)).rest()) is Left.TIME
    agree(story, sanitizer, least=4)


SCENARIOS: tuple[Callable[[str], None], ...] = (
    a_run_equals_its_steps,
    a_join_leaves_prefills_and_relaunches,
    as_many_as_it_takes,
    it_leaves_within_a_step,
    a_full_ring_loses_nothing,
    all_stop_early,
    blocks_run_out,
    time_is_limited,
)

if __name__ == "__main__":
    for scenario in SCENARIOS:
        scenario(sys.argv[1])
        print(scenario.__name__, flush=True)
