"""The sample shader against the reference, token for token: random settings, masks, ties, NaN and infinities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from ostinato.backends.batch import Batch, Enter, Span
from ostinato.backends.batch_table import MAX_TOP_LOGPROBS, Kind
from ostinato.backends.contract import Plan
from ostinato.backends.device.state_table import DRAWN, INACTIVE, NO_NUMBER, NOTHING
from ostinato.backends.reference.sample import best, keep, log_probabilities, penalise, sample_row
from ostinato.backends.sampling import Sampling
from tests.backends.webgpu.support import needs_adapter
from tests.backends.webgpu.world import GARBAGE, World

pytestmark = needs_adapter

TOKENS, LOGITS = 16, 128  # places in the arena


@dataclass(frozen=True)
class Case:
    """One draw."""

    logits: np.ndarray  # float32 [vocab]
    settings: Sampling
    history: Sequence[int] = (1, 2, 3)  # tokens before the one to draw
    prompt_length: int = 2
    mask: np.ndarray | None = None  # uint32 [ceil(vocab / 32)]


@dataclass
class Sampled:
    """A step that samples every case, each in a slot of its own whose span has two logit rows."""

    cases: Sequence[Case]
    groups: int = 3
    world: World = field(init=False)

    def __post_init__(self) -> None:
        count, vocab = len(self.cases), len(self.cases[0].logits)
        plan = Plan(max_rows=2 * count, max_logit_rows=2 * count, max_sequences=count, context=1024, blocks=1)
        self.words = {"tokens": TOKENS, "logits": LOGITS, "scores": LOGITS + 2 * count * vocab, "vocab": vocab}
        self.words["counts"] = self.words["scores"] + count * vocab
        self.world = World(plan, 0, vocab, arena=self.words["counts"] + count * vocab, groups=self.groups)
        self.world.take(batch(self.cases))
        self.world.run("rows")
        rows = self.world.arena[LOGITS : LOGITS + 2 * count * vocab].view(np.float32).reshape(2 * count, vocab)
        rows[1::2] = [case.logits for case in self.cases]
        self.world.run("sample", **self.words)

    def drawn(self, word: str) -> np.ndarray:
        return self.world.drawn()[0, : len(self.cases), DRAWN.index(word)].copy()

    def best(self) -> tuple[np.ndarray, np.ndarray]:
        """(ids, log-probabilities) [draws, 20]"""
        words = self.world.best()[0, : len(self.cases)]
        return words[:, :MAX_TOP_LOGPROBS], words[:, MAX_TOP_LOGPROBS:].copy().view(np.float32)


def batch(cases: Sequence[Case]) -> Batch:
    """Histories of at least two tokens: the last two are the rows of the step, all before them a cached prefix."""
    enters = [Enter(i, c.prompt_length, c.settings, c.history[:-2]) for i, c in enumerate(cases)]
    spans = [Span(i, Kind.GENERATED, len(c.history) - 2, c.history[-2:], 2, sample=True) for i, c in enumerate(cases)]
    return Batch(spans, enters, masks=[(i, c.mask) for i, c in enumerate(cases) if c.mask is not None])


def wanted(case: Case) -> int:
    history = np.array(case.history, np.int32)
    with np.errstate(invalid="ignore", over="ignore"):
        return sample_row(case.logits, case.settings, history, case.prompt_length, case.mask)


def check(cases: Sequence[Case], groups: int = 3) -> Sampled:
    """All tokens equal the reference's; each is in its slot's history and in its row of the output, the others -1."""
    sampled = Sampled(cases, groups)
    tokens = [wanted(case) for case in cases]
    assert sampled.drawn("token").tolist() == tokens
    assert sampled.drawn("slot").tolist() == list(range(len(cases)))
    assert sampled.drawn("position").tolist() == [len(case.history) for case in cases]
    rows = sampled.world.arena[TOKENS : TOKENS + 2 * len(cases)].view(np.int32)
    assert rows[0::2].tolist() == [-1] * len(cases)
    assert rows[1::2].tolist() == tokens
    for slot, case in enumerate(cases):
        history = sampled.world.history(slot)[: len(case.history) + 1]
        assert history.tolist() == [*case.history, max(tokens[slot], 0)]
    assert (sampled.world.arena[:TOKENS] == GARBAGE).all()
    assert (sampled.world.arena[TOKENS + 2 * len(cases) : LOGITS] == GARBAGE).all()
    return sampled


def random_case(random: np.random.Generator, vocab: int) -> Case:
    """Anything that `Sampling.check` allows, most of it at once."""

    def either(value: float, other: float, chance: float = 0.5) -> float:
        return value if random.random() < chance else other

    settings = Sampling(
        temperature=either(0.0, either(1.0, float(random.uniform(0.05, 3)))) if random.random() < 0.3 else 0.8,
        top_k=int(either(0, int(random.integers(1, 2 * vocab + 1)), 0.4) if vocab < 600 else random.integers(0, 400)),
        top_p=either(1.0, float(random.uniform(0, 1)), 0.4),
        min_p=either(0.0, float(random.uniform(0, 0.5))),
        presence_penalty=either(0.0, float(random.uniform(-2, 2))),
        frequency_penalty=either(0.0, float(random.uniform(-2, 2))),
        repetition_penalty=either(1.0, float(random.uniform(0.5, 2))),
        seed=int(random.integers(0, 2**64, dtype=np.uint64)),
        choice=int(random.integers(0, 5)),
        logit_bias=tuple(
            (int(random.integers(0, vocab)), float(random.normal(0, 5))) for _ in range(random.integers(0, 6))
        ),
    )  # fmt: skip
    history = random.integers(0, vocab, random.integers(2, 700)).tolist()
    mask = random.integers(0, 2**32, -(-vocab // 32), dtype=np.uint32) if random.random() < 0.4 else None
    return Case(some_logits(random, vocab), settings, history, int(random.integers(1, len(history) + 1)), mask)


def some_logits(random: np.random.Generator, vocab: int) -> np.ndarray:
    """Normal, or with many ties, or with values that are no numbers."""
    logits = random.normal(0, 3, vocab).astype(np.float32)
    sort = random.integers(0, 4)
    if sort == 1:
        logits = np.round(logits)  # both zeros occur
    if sort == 2:
        logits[random.random(vocab) < 0.3] = np.nan
        logits[random.random(vocab) < 0.2] = -np.inf
    if sort == 3:
        logits = np.where(random.random(vocab) < 0.5, np.float32(2), logits)
    return logits


@pytest.mark.parametrize(("vocab", "groups"), [(1, 2), (33, 40), (517, 1), (517, 5), (2053, 3)])
def test_random_settings(vocab: int, groups: int) -> None:
    random = np.random.default_rng(vocab + groups)
    check([random_case(random, vocab) for _ in range(40)], groups)


def test_a_large_vocabulary() -> None:
    random = np.random.default_rng(4)
    check([random_case(random, 32_003) for _ in range(12)])


def test_every_filter_alone() -> None:
    """Over many seeds, so that a wrong set of candidates shows."""
    random = np.random.default_rng(2)
    filters = [{"top_k": 1}, {"top_k": 2}, {"top_k": 40}, {"top_k": 300}, {"top_p": 0.0}, {"top_p": 1e-6},
               {"top_p": 0.5}, {"top_p": 0.99}, {"min_p": 0.1}, {"min_p": 1.0},
               {"top_k": 20, "top_p": 0.7, "min_p": 0.1}, {}]  # fmt: skip
    for logits in (random.normal(0, 2, 517), np.round(random.normal(0, 1, 517)), np.zeros(517)):
        check([Case(logits.astype(np.float32), Sampling(seed=seed, **f)) for f in filters for seed in range(4)])


def test_filters_cut_ties_by_id() -> None:
    logits = np.round(np.random.default_rng(8).normal(0, 1, 300)).astype(np.float32)
    for settings in (Sampling(top_k=7, temperature=100), Sampling(top_p=0.02, temperature=100)):
        kept = set(keep(logits / np.float32(100), settings).tolist())
        cases = [Case(logits, replace(settings, seed=seed)) for seed in range(60)]
        assert set(check(cases).drawn("token").tolist()) == kept


def test_what_is_not_finite() -> None:
    nan, inf = np.nan, np.inf
    rows = [[nan] * 5, [-inf] * 5, [nan, -inf, nan, nan, -inf], [nan, 1, -inf, 1, nan], [1, inf, 2, inf, nan],
            [3e38, -3e38, 1, 2, 3e38], [-0.0, 0.0, -0.0, -1, nan], [-inf, -3e38, nan, -3.1e38, -inf]]  # fmt: skip
    for settings in (
        Sampling(temperature=0), Sampling(seed=3), Sampling(temperature=1e-3, top_p=0.5), Sampling(top_k=2, min_p=0.1),
        Sampling(presence_penalty=1, repetition_penalty=1.5, frequency_penalty=0.5, logit_bias=((1, 3.0), (4, -2.0))),
    ):  # fmt: skip
        check([Case(np.array(row, np.float32), settings, (1, 2, 3, 3)) for row in rows])


def test_the_smallest_temperatures() -> None:
    logits = np.random.default_rng(1).normal(0, 2, 100).astype(np.float32)
    check([Case(logits, Sampling(temperature=t, seed=s)) for t in (1e-45, 1e-38, 1e-30, 1e-6, 100) for s in range(3)])


def test_penalties_look_where_they_should() -> None:
    """Greedy, so that one count more or less chooses another token."""
    logits = np.array([2.0, 1.9, 1.78, -1.0], np.float32)
    presence, frequency = Sampling(temperature=0, presence_penalty=0.2), Sampling(temperature=0, frequency_penalty=0.15)
    cases = [
        Case(logits, presence, (3, 3, 0), 2),  # 0 was generated once
        Case(logits, presence, (3, 3, 0), 3),  # 0 stands in the prompt
        Case(logits, frequency, (3, 0, 0, 1), 1),  # 0 twice, 1 once
        Case(logits, frequency, (3, 0, 0, 1), 2),  # once each
        Case(logits, Sampling(temperature=0, repetition_penalty=1.1), (0, 3), 2),
        Case(-logits, Sampling(temperature=0, repetition_penalty=2.5), (3, 2), 2),
    ]
    assert check(cases).drawn("token").tolist() == [1, 0, 2, 0, 1, 3]


def test_a_mask_that_allows_nothing_draws_nothing() -> None:
    logits = np.ones(40, np.float32)
    sampled = check([Case(logits, Sampling(), mask=np.zeros(2, np.uint32)), Case(logits, Sampling(seed=5))])
    assert sampled.drawn("token")[0] == NO_NUMBER


def test_a_biased_token_twice_adds_in_order() -> None:
    logits = np.array([0.1, 0.2, 0.3], np.float32)
    bias = ((0, 1e8), (1, 1e-9), (0, 1.0), (0, -1e8))
    found = penalise(logits, Sampling(logit_bias=bias), np.zeros(0, np.int32), 0)
    assert found[0] != np.float32(1.1)
    check([Case(logits, Sampling(temperature=0, logit_bias=bias))])


def test_log_probabilities() -> None:
    random = np.random.default_rng(6)
    counts = [-1, 0, 1, 5, 20, 20]
    cases = [
        Case(random.normal(0, 4, 517).astype(np.float32), Sampling(seed=i, logprobs=n)) for i, n in enumerate(counts)
    ]
    cases[-1].logits[:] = np.round(cases[-1].logits)
    sampled = check(cases)
    ids, found = sampled.best()
    logprobs = sampled.drawn("logprob").view(np.float32)
    for row, (case, count) in enumerate(zip(cases, counts, strict=True)):
        top, all_logprobs = best(case.logits, max(count, 0)), log_probabilities(case.logits)
        assert ids[row].tolist() == [*top.tolist(), *[-1] * (MAX_TOP_LOGPROBS - len(top))]
        np.testing.assert_allclose(found[row, : len(top)], all_logprobs[top], atol=2e-6)
        assert np.isnan(found[row, len(top) :]).all()
        token = sampled.drawn("token")[row]
        np.testing.assert_allclose(logprobs[row], all_logprobs[token] if count >= 0 else np.nan, atol=2e-6)


def test_log_probabilities_of_small_and_broken_vocabularies() -> None:
    rows = [[1, 2, 2], [1, -np.inf, 2], [1, np.nan, 2], [-np.inf] * 3, [np.inf, 1, 2]]
    sampled = check([Case(np.array(row, np.float32), Sampling(temperature=0, logprobs=5)) for row in rows])
    ids, found = sampled.best()
    assert ids[:, :4].tolist() == [[1, 2, 0, -1], [2, 0, 1, -1], [2, 0, 1, -1], [0, 1, 2, -1], [0, 2, 1, -1]]
    assert found[1, 2] == -np.inf
    assert np.isnan(found[2:]).all()
    assert np.isnan(sampled.drawn("logprob").view(np.float32)).tolist() == [False, False, True, True, True]


def test_a_stopped_slot_draws_nothing() -> None:
    cases = [Case(np.arange(40, dtype=np.float32), Sampling(seed=i, logprobs=2)) for i in range(3)]
    sampled = Sampled(cases)
    sampled.world.section("draw", 3, 4)[1, 2] = INACTIVE
    before = sampled.world.history(1).copy()
    sampled.world.run("sample", **sampled.words)
    assert sampled.drawn("token").tolist() == [wanted(cases[0]), NOTHING, wanted(cases[2])]
    assert sampled.drawn("slot").tolist() == [0, 1, 2]
    assert sampled.world.arena[TOKENS : TOKENS + 6].view(np.int32)[3] == -1
    np.testing.assert_array_equal(sampled.world.history(1), before)


def test_rows_behind_the_last_draw() -> None:
    """A span that samples, one that only wants logits; then none that samples."""
    logits = np.arange(40, dtype=np.float32)
    sampled = Sampled([Case(logits, Sampling(temperature=0)), Case(logits, Sampling())])
    for draws, rows in ((1, [-1, 39, -1, -1]), (0, [-1, -1, -1, -1])):
        spans = [Span(i, Kind.GENERATED, 3, [1, 1], 2, sample=i < draws) for i in range(2)]
        sampled.world.take(Batch(spans))
        sampled.world.run("rows")
        sampled.world.run("sample", **sampled.words)
        assert sampled.world.arena[TOKENS : TOKENS + 4].view(np.int32).tolist() == rows
