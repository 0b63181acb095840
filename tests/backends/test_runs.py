"""A run of decode steps is the single steps that it stands for, bit for bit, on every backend that does runs.

(The reference's products depend on how many rows there are: its log-probabilities are only close.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from ostinato.backends.batch import Batch, Enter, Span, TableEdit
from ostinato.backends.batch_table import MAX_STOPS, Kind
from ostinato.backends.choose import BACKENDS
from ostinato.backends.contract import BatchError, Executable, Plan, StepResult
from ostinato.backends.sampling import Sampling
from ostinato.engine.loading import Options, open_model
from ostinato.gguf.types_table import TensorType
from ostinato.model.weights import StoredTensor
from ostinato.program.builder import Builder
from ostinato.program.ir import CacheGroup, Programs
from tests.backends.cases import Weights
from tools.tiny_models import write_tiny_model

GREEDY = Sampling(temperature=0)
SETTINGS = (
    GREEDY,
    Sampling(temperature=0.9, top_p=0.9, seed=7, logprobs=3),
    Sampling(temperature=1.2, top_k=40, repetition_penalty=1.2, presence_penalty=0.4, seed=8, logprobs=0),
)
PROMPTS = ([5, 80, 13, 200, 31, 7, 9], [11], [3, 3, 60, 41, 2])
CONTEXT = 50  # not a whole number of blocks: the block table goes on where the context ends

RUN = 16  # steps: every backend that does runs does that many

Model = tuple[Executable, Plan]
Drawn = list[tuple[int, np.ndarray]]  # of one slot: token; its log-probability, best ids and their log-probabilities


@pytest.fixture(scope="module", params=list(BACKENDS))
def name(request: pytest.FixtureRequest) -> str:
    probe = BACKENDS[request.param]().probe()
    if not probe.available:
        pytest.skip(f"backend {request.param} is not available: {probe.device}")
    return str(request.param)


@pytest.fixture(scope="module")
def model(name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    path: Path = tmp_path_factory.mktemp("runs") / "tiny.gguf"
    write_tiny_model(path, type="Q8_0")
    opened = open_model(path, Options(backend=name, context=CONTEXT, max_sequences=4, max_rows=32, threads=2))
    executable = opened.compile()
    if executable.max_steps == 1:
        pytest.skip(f"backend {name} does single steps only")
    assert executable.max_steps >= RUN
    yield executable, opened.plan
    executable.close()


@dataclass
class Slots:
    """Some new sequences, a slot each; `drawn` is what came of them so far, the first token excepted."""

    executable: Executable
    plan: Plan
    prompts: Sequence[Sequence[int]] = PROMPTS
    settings: Sequence[Sampling] = SETTINGS
    limits: Sequence[int] = (CONTEXT,) * 3
    stops: Sequence[Sequence[int]] = ((),) * 3
    blocks: int = 4  # of each slot at first
    exact: bool = True
    drawn: dict[int, Drawn] = field(init=False)

    def __post_init__(self) -> None:
        slots = range(len(self.prompts))
        self.executable.submit(
            Batch(
                [Span(slot, Kind.PROMPT, 0, self.prompts[slot], 1, sample=True) for slot in slots],
                [
                    Enter(slot, len(self.prompts[slot]), self.settings[slot], limit=self.limits[slot],
                          stops=self.stops[slot])
                    for slot in slots
                ],
                [self.edit(slot, 0, self.blocks) for slot in slots],
            )
        )  # fmt: skip
        self.executable.collect()
        self.drawn = {slot: [] for slot in slots}

    def edit(self, slot: int, first: int, count: int) -> TableEdit:
        """Blocks scattered over the pool, each slot its own."""
        return TableEdit(0, slot, first, [4 * index + slot for index in range(first, first + count)])

    def position(self, slot: int) -> int:
        """Of the next row."""
        return len(self.prompts[slot]) + len(self.drawn[slot])

    def spans(self, slots: Sequence[int]) -> list[Span]:
        return [Span(slot, Kind.GENERATED, self.position(slot), None, 1, sample=True) for slot in slots]

    def run(self, steps: int, slots: Sequence[int] = (0, 1, 2), tables: Sequence[TableEdit] = ()) -> list[StepResult]:
        self.executable.submit(Batch(self.spans(slots), tables=tables, steps=steps))
        return self.collect()

    def collect(self) -> list[StepResult]:
        """All results of the oldest batch."""
        results = [self.executable.collect()]
        while results[-1].more:
            results.append(self.executable.collect())
        for result in results:
            self.take(result)
        return results

    def take(self, result: StepResult) -> None:
        for row, slot in enumerate(result.slots.tolist()):
            for n in range(int(result.counts[row])):
                parts = (
                    result.logprobs[row, n],
                    result.top_ids[row, n].astype(np.float32),
                    result.top_logprobs[row, n],
                )
                self.drawn[slot].append((int(result.tokens[row, n]), np.hstack(parts)))

    def singles(self, steps: int, slots: Sequence[int] = (0, 1, 2)) -> Slots:
        for _ in range(steps):
            self.run(1, slots)
        return self

    def tokens(self, slot: int) -> list[int]:
        return [token for token, _ in self.drawn[slot]]


@pytest.fixture(scope="module")
def wanted(model: Model) -> dict[int, Drawn]:
    """What each slot draws in single steps."""
    return Slots(*model).singles(40).drawn


@pytest.fixture
def fresh(model: Model, name: str) -> Iterator[Callable[..., Slots]]:
    yield lambda **changes: Slots(*model, exact=name != "reference", **changes)
    with suppress(RuntimeError):  # nothing is in flight, unless the test failed
        while True:
            model[0].collect()


Fresh = Callable[..., Slots]


def assert_equal(slots: Slots, wanted: dict[int, Drawn], counts: Sequence[int]) -> None:
    """Each slot drew so many tokens, the wanted ones to the bit."""
    assert [len(drawn) for drawn in slots.drawn.values()] == list(counts)
    for slot, drawn in slots.drawn.items():
        assert_same(drawn, wanted[slot][: len(drawn)], slots.exact)


def assert_same(drawn: Drawn, wanted: Drawn, exact: bool) -> None:
    assert [token for token, _ in drawn] == [token for token, _ in wanted]
    for (_, numbers), (_, others) in zip(drawn, wanted, strict=True):
        np.testing.assert_allclose(numbers, others, rtol=0 if exact else 1e-4)


@pytest.mark.parametrize("lengths", [(RUN,), (2, 1, 3, 1, 1, 13), (7, 7)])
def test_runs_equal_single_steps(fresh: Fresh, wanted: dict[int, Drawn], lengths: Sequence[int]) -> None:
    slots = fresh()
    for length in lengths:
        slots.run(length)
    assert_equal(slots, wanted, [sum(lengths)] * 3)


def test_runs_of_some_slots_only(fresh: Fresh, wanted: dict[int, Drawn]) -> None:
    slots = fresh()
    slots.run(5, [2, 0])
    slots.run(4, [1])
    slots.run(3, [1, 2])
    assert_equal(slots, wanted, [5, 7, 8])


def test_results_are_in_the_order_of_spans_and_well_shaped(fresh: Fresh) -> None:
    slots = fresh()
    for result in slots.run(5, [2, 0]):
        n = result.tokens.shape[1]
        assert result.slots.tolist() == [2, 0]
        assert result.tokens.shape == result.logprobs.shape == (2, n)
        assert result.top_ids.shape == result.top_logprobs.shape == (2, n, 20)
        assert result.counts.tolist() == [n, n]
        assert not result.failed.any()


def test_limits(fresh: Fresh, wanted: dict[int, Drawn]) -> None:
    """No token at `limit` or beyond; the first token stands right after the prompt."""
    left = (3, 1, 9)
    slots = fresh(limits=[len(p) + 1 + n for p, n in zip(PROMPTS, left, strict=True)])
    slots.run(RUN)
    assert_equal(slots, wanted, left)


def test_limits_mean_nothing_to_single_steps(fresh: Fresh, wanted: dict[int, Drawn]) -> None:
    slots = fresh(limits=[0, 1, 2], stops=[[token for token, _ in wanted[slot][:8]] for slot in range(3)])
    slots.singles(3)
    assert_equal(slots, wanted, [3] * 3)


def first_seen(drawn: Drawn, least: int) -> int:
    """Index, at least `least`, of a token that did not come before."""
    tokens = [token for token, _ in drawn]
    return next(i for i in range(least, len(tokens)) if tokens[i] not in tokens[:i])


def test_a_stop_token_is_drawn_and_the_last_and_the_next_run_goes_on(fresh: Fresh, wanted: dict[int, Drawn]) -> None:
    at = [first_seen(wanted[slot], least) for slot, least in ((1, 4), (2, 2))]
    others = [10_000 + i for i in range(MAX_STOPS - 1)]  # tokens that no vocabulary here has
    slots = fresh(stops=[[], [*others, wanted[1][at[0]][0]], [wanted[2][at[1]][0], *others]])
    slots.run(12)
    assert_equal(slots, wanted, [12, at[0] + 1, at[1] + 1])
    slots.run(1, [1])
    slots.run(2, [1])
    assert_same(slots.drawn[1][: at[0] + 3], wanted[1][: at[0] + 3], slots.exact)
    assert len(slots.drawn[1]) > at[0] + 2


def test_where_blocks_end_a_run_stops_and_with_more_the_next_goes_on(fresh: Fresh, wanted: dict[int, Drawn]) -> None:
    slots = fresh(blocks=1)
    size = slots.plan.block_size
    ends = [size - len(PROMPTS[0]), RUN, size - len(PROMPTS[2])]
    slots.run(RUN, tables=[slots.edit(1, 1, 1)])
    while missing := [slot for slot in range(3) if len(slots.drawn[slot]) < ends[slot]]:
        slots.run(RUN - len(slots.drawn[1]) or 2, missing)  # a run may end for all where one slot lacks a block
    assert_equal(slots, wanted, ends)
    slots.run(4, tables=[slots.edit(0, 1, 1), slots.edit(2, 1, 2)])
    counts = [size - len(PROMPTS[0]) + 4, RUN + 4, size - len(PROMPTS[2]) + 4]
    assert_equal(slots, wanted, counts)


def test_the_context_ends_a_run(fresh: Fresh, wanted: dict[int, Drawn]) -> None:
    slots = fresh(limits=[2**31 - 1] * 3)
    slots.singles(34)
    slots.run(RUN)
    counts = [len(drawn) for drawn in slots.drawn.values()]
    assert counts == [CONTEXT - len(prompt) for prompt in PROMPTS], "a token after each row of the context"
    for slot in range(3):
        most = min(counts[slot], len(wanted[slot]))
        assert_same(slots.drawn[slot][:most], wanted[slot][:most], slots.exact)


def test_logits_are_those_of_the_first_step(fresh: Fresh) -> None:
    logits = []
    for steps in (1, 6):
        slots = fresh()
        slots.executable.submit(Batch(slots.spans([1, 2]), steps=steps, want_logits=True))
        results = slots.collect()
        assert [len(slots.drawn[slot]) for slot in range(3)] == [0, steps, steps]
        logits.append(results[0].outputs["logits"].copy())
    assert logits[0].shape == (2, 512)
    np.testing.assert_array_equal(logits[1], logits[0])


def test_an_empty_batch_ends_a_run(fresh: Fresh, wanted: dict[int, Drawn]) -> None:
    """Whenever the run notices: what it drew counts, and everything goes on from there."""
    slots = fresh()
    slots.executable.submit(Batch(slots.spans([0, 1, 2]), steps=RUN))
    slots.executable.submit(Batch([]))
    with pytest.raises(RuntimeError, match="in flight"):
        slots.executable.submit(Batch([]))
    slots.collect()
    drawn = len(slots.drawn[0])
    assert 1 <= drawn <= RUN
    assert_equal(slots, wanted, [drawn] * 3)
    assert [len(result.slots) for result in slots.collect()] == [0]
    slots.run(5, [0, 1])
    assert_equal(slots, wanted, [drawn + 5, drawn + 5, drawn])


def test_a_prompt_behind_a_run(fresh: Fresh, wanted: dict[int, Drawn]) -> None:
    slots = fresh()
    slots.executable.submit(Batch(slots.spans([1, 2]), steps=RUN))
    newcomer = Span(3, Kind.PROMPT, 0, PROMPTS[0], 1, sample=True)
    slots.executable.submit(Batch([newcomer], [Enter(3, len(PROMPTS[0]), SETTINGS[0])], [slots.edit(3, 0, 4)]))
    slots.collect()
    drawn = len(slots.drawn[1])
    slots.executable.collect()
    slots.prompts, slots.drawn[3] = [*PROMPTS, PROMPTS[0]], []
    slots.run(6, [1, 3])
    assert_equal(slots, {**wanted, 3: wanted[0]}, [0, drawn + 6, drawn, 6])


def test_what_is_no_run_is_refused(fresh: Fresh, wanted: dict[int, Drawn]) -> None:
    slots = fresh()
    (row,) = slots.spans([0])
    prompt = Span(1, Kind.PROMPT, 0, [1], 1, sample=True)
    mask = np.full(512 // 32, -1, np.int32).view(np.uint32)
    for batch, says in (
        (Batch([row], steps=0), "a run of 0 steps"),
        (Batch([row], steps=slots.executable.max_steps + 1), "takes 1 to"),
        (Batch([prompt, row], steps=2), "only single generated rows"),
        (Batch([replace(row, tokens=[1])], steps=2), "only single generated rows"),
        (Batch([replace(row, sample=False)], steps=2), "only single generated rows"),
        (Batch([row], masks=[(0, mask)], steps=2), "a mask holds for one step"),
        (Batch([row], [Enter(3, 1, GREEDY, stops=range(MAX_STOPS + 1))], steps=2), "9 stop tokens"),
    ):
        with pytest.raises(BatchError, match=says):
            slots.executable.submit(batch)
    slots.run(3)
    assert_equal(slots, wanted, [3] * 3)


BROKEN = 9


def counting(weights: Weights) -> Programs:
    """After token t comes t + 1; whoever reads BROKEN has no numbers left."""
    vocab = 64
    table = np.eye(vocab, dtype=np.float32)
    table[BROKEN] = np.nan
    b = Builder(weights.tensors)
    b.caches.append(CacheGroup("full", 1, 1, 32, 32))
    x = b.add("embed", weights=(weights.put("table", table),))
    k = b.add("linear", x, weights=(weights.normal("k", (32, vocab), TensorType.F32), None))
    b.add("append", k, k, cache=0, index=0)
    a = b.add("attend", k, cache=0, index=0, heads=1, kv_heads=1, key_dim=32, value_dim=32, scale=0.2)
    none = b.add("linear", a, weights=(weights.put("zero", np.zeros((vocab, 32), np.float32)), None))
    y = b.add("select", b.add("add", x, none))
    following = np.roll(np.eye(vocab, dtype=np.float32), 1, axis=0)
    y = b.add("linear", y, weights=(weights.put("next", following), None))
    b.add("sample", y)
    program = b.program("counting", {"logits": y}, vocab)
    return Programs(program, program)


def test_a_slot_without_numbers_fails_alone(name: str) -> None:
    if name == "null":
        pytest.skip("the null backend computes no logits")
    weights = Weights(3)
    programs = counting(weights)
    tensors: dict[str, StoredTensor] = weights.tensors
    plan = Plan(max_rows=16, max_sequences=4, max_logit_rows=4, context=CONTEXT, blocks=16, threads=1)
    executable = BACKENDS[name]().compile(programs, tensors, plan)
    if executable.max_steps == 1:
        pytest.skip(f"backend {name} does single steps only")
    slots = Slots(executable, plan, [[1], [30, 31], [4, 5]], [GREEDY] * 3)
    results = slots.run(10)
    assert [slots.tokens(slot) for slot in range(3)] == [
        list(range(3, BROKEN + 1)),
        list(range(33, 43)),
        list(range(7, BROKEN + 1)),
    ]
    failed = np.any([result.failed for result in results], axis=0)
    assert failed.tolist() == [True, False, True]
    slots.run(3, [1])
    assert slots.tokens(1)[-3:] == [43, 44, 45]
    executable.close()
