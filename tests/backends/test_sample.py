"""`sample`: the definition's own properties, then every backend token for token."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ostinato.backends.batch import Batch, Enter, Span
from ostinato.backends.batch_table import Kind
from ostinato.backends.contract import Backend, Plan, StepResult
from ostinato.backends.reference import ReferenceBackend
from ostinato.backends.reference.rng import philox, uniform
from ostinato.backends.reference.sample import keep, log_probabilities, penalise, sample_row
from ostinato.backends.sampling import Sampling, SamplingError
from ostinato.gguf.types_table import TensorType
from ostinato.program.builder import Builder
from ostinato.program.ir import Programs
from tests.backends.cases import Weights
from tests.backends.machines import MACHINES, machine

VOCAB = 517
EMPTY = np.zeros(0, np.int32)
SETTINGS = {
    "greedy": Sampling(temperature=0),
    "plain": Sampling(temperature=1.0, seed=5),
    "hot": Sampling(temperature=2.5, seed=2**63 + 11, choice=3),
    "top_k": Sampling(temperature=1.0, top_k=7, seed=1),
    "top_p": Sampling(temperature=0.8, top_p=0.6, seed=2),
    "top_p tiny": Sampling(temperature=1.0, top_p=1e-6, seed=2),
    "top_p zero": Sampling(temperature=1.0, top_p=0.0, seed=2),
    "min_p": Sampling(temperature=1.3, min_p=0.2, seed=3),
    "all filters": Sampling(temperature=1.1, top_k=50, top_p=0.9, min_p=0.05, seed=4),
    "penalties": Sampling(temperature=0.9, presence_penalty=1.5, frequency_penalty=0.5, repetition_penalty=1.3, seed=6),
    "greedy penalties": Sampling(temperature=0, presence_penalty=2, repetition_penalty=1.5),
    "bias": Sampling(temperature=0, logit_bias=((3, 9.0), (4, -100.0), (500, 9.5))),
    "logprobs": Sampling(temperature=1.0, seed=8, logprobs=20),
}


def test_philox_known_answers() -> None:
    """Known-answer vectors of Random123 (kat_vectors, philox4x32-10)."""
    zeros = philox(tuple(np.zeros(1, np.uint32) for _ in range(4)), (0, 0))
    assert [int(w[0]) for w in zeros] == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    ones = philox(tuple(np.full(1, 0xFFFFFFFF, np.uint32) for _ in range(4)), (0xFFFFFFFF, 0xFFFFFFFF))
    assert [int(w[0]) for w in ones] == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]


def test_uniform_is_uniform_and_never_an_end() -> None:
    u = uniform(9, 0, 3, np.arange(200_000))
    assert u.min() > 0
    assert u.max() < 1
    assert abs(u.mean() - 0.5) < 0.005
    assert abs(np.var(u) - 1 / 12) < 0.002


def test_draws_follow_the_softmax() -> None:
    logits = np.array([1.0, 0.0, -1.0, 2.0], np.float32)
    settings = Sampling(temperature=1.0)
    drawn = [sample_row(logits, replace(settings, seed=s), EMPTY, 0) for s in range(4000)]
    share = np.bincount(drawn, minlength=4) / 4000
    np.testing.assert_allclose(share, np.exp(log_probabilities(logits)), atol=0.025)


def test_filters_keep_what_they_say() -> None:
    logits = np.log(np.array([0.5, 0.25, 0.125, 0.125], np.float32))
    assert keep(logits, Sampling(top_k=2)).tolist() == [0, 1]
    assert keep(logits, Sampling(top_p=0.7)).tolist() == [0, 1]
    assert keep(logits, Sampling(top_p=0.0)).tolist() == [0]
    assert keep(logits, Sampling(min_p=0.3)).tolist() == [0, 1]
    assert keep(logits, Sampling(top_k=3)).tolist() == [0, 1, 2], "ties: the lower id first"


def test_penalties_look_where_they_should() -> None:
    logits = np.array([2.0, -2.0, 1.0, 1.0], np.float32)
    history = np.array([0, 1, 2, 2], np.int32)
    settings = Sampling(presence_penalty=0.5, frequency_penalty=0.25, repetition_penalty=2.0)
    np.testing.assert_allclose(penalise(logits, settings, history, 2), [1.0, -4.0, 0.5 - 0.5 - 0.5, 1.0])


def run(backend: Backend, settings: list[Sampling], mask: np.ndarray | None = None, steps: int = 6) -> list[StepResult]:
    """One sequence per setting: a prompt row, then rows that take their token from StepState; two in flight."""
    weights = Weights(seed=11)
    table = weights.normal("table", (VOCAB, VOCAB), TensorType.F32, scale=2.0)
    b = Builder(weights.tensors)
    logits = b.add("select", b.add("embed", weights=(table,)))
    b.add("sample", logits)
    program = b.program("sample", {"logits": logits}, VOCAB)
    plan = Plan(max_rows=64, max_logit_rows=64, max_sequences=len(settings), context=32, blocks=4, threads=2)
    executable = backend.compile(Programs(program, program), weights.tensors, plan)
    prompts = [Span(i, Kind.PROMPT, 0, [i % 7, 3, i % 5], 1, sample=True) for i in range(len(settings))]
    masks = [] if mask is None else [(i, mask) for i in range(len(settings))]
    executable.submit(Batch(prompts, [Enter(i, 3, s) for i, s in enumerate(settings)], masks=masks))
    results = []
    for step in range(steps):
        spans = [Span(i, Kind.GENERATED, 3 + step, None, 1, sample=True) for i in range(len(settings))]
        executable.submit(Batch(spans, masks=masks))
        results.append(executable.collect())
    results.append(executable.collect())
    executable.close()
    return results


@pytest.mark.parametrize("backend", MACHINES)
@pytest.mark.parametrize("masked", [False, True])
def test_backends_draw_the_same_tokens(backend: str, masked: bool) -> None:
    mask = np.random.default_rng(0).integers(0, 2**32, -(-VOCAB // 32), dtype=np.uint32) if masked else None
    settings = list(SETTINGS.values())
    for wanted, found in zip(
        run(ReferenceBackend(), settings, mask), run(machine(backend), settings, mask), strict=True
    ):
        assert dict(zip(SETTINGS, found.tokens[:, 0].tolist(), strict=True)) == dict(
            zip(SETTINGS, wanted.tokens[:, 0].tolist(), strict=True)
        )
        np.testing.assert_array_equal(found.slots, wanted.slots)
        np.testing.assert_array_equal(found.top_ids, wanted.top_ids)
        np.testing.assert_allclose(found.logprobs, wanted.logprobs, atol=1e-4)
        np.testing.assert_allclose(found.top_logprobs, wanted.top_logprobs, atol=1e-4)


def test_a_mask_allows_only_its_tokens() -> None:
    mask = np.zeros(-(-VOCAB // 32), np.uint32)
    mask[3] = 0b101
    for result in run(ReferenceBackend(), list(SETTINGS.values()), mask, steps=2):
        assert set(result.tokens[:, 0].tolist()) <= {96, 98}


def test_a_draw_does_not_depend_on_company() -> None:
    settings = list(SETTINGS.values())
    together = [result.tokens[1, 0] for result in run(ReferenceBackend(), [settings[4], settings[1]], steps=3)]
    again = [result.tokens[1, 0] for result in run(ReferenceBackend(), [settings[0], settings[1]], steps=3)]
    assert together == again


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (Sampling(temperature=-1), "temperature is -1"),
        (Sampling(temperature=float("nan")), "temperature is nan"),
        (Sampling(top_p=1.5), "top_p is 1.5"),
        (Sampling(seed=2**64), "seed is"),
        (Sampling(logit_bias=((VOCAB, 1.0),)), f"token {VOCAB}"),
        (Sampling(logit_bias=((1, float("inf")),)), "logit_bias of token 1"),
        (Sampling(logprobs=21), "logprobs is 21"),
    ],
)
def test_settings_out_of_range_are_named(settings: Sampling, says: str) -> None:
    with pytest.raises(SamplingError, match=says):
        settings.check(VOCAB)


@pytest.mark.parametrize("backend", ["reference", *MACHINES])
@pytest.mark.parametrize("settings", [Sampling(temperature=0), Sampling(temperature=1, top_p=0.5, logprobs=2)])
def test_logits_that_are_no_numbers_draw_nothing(backend: str, settings: Sampling) -> None:
    """And cost the other sequences of the step nothing."""
    weights = Weights(2)
    table = np.random.default_rng(1).normal(size=(32, 32)).astype(np.float32)
    table[7] = np.nan
    b = Builder(weights.tensors)
    logits = b.add("select", b.add("embed", weights=(weights.put("table", table),)))
    b.add("sample", logits)
    program = b.program("nan", {"logits": logits}, 32)
    executable = machine(backend).compile(Programs(program, program), weights.tensors, Plan(blocks=1, threads=1))
    spans = [Span(slot, Kind.PROMPT, 0, [token], 1, sample=True) for slot, token in enumerate((3, 7, 5))]
    executable.submit(Batch(spans, [Enter(slot, 1, settings) for slot in range(3)]))
    result = executable.collect()
    assert result.counts.tolist() == [1, 0, 1]
    assert (result.tokens[[0, 2]] >= 0).all()
    executable.close()


@pytest.mark.parametrize("backend", ["reference", *MACHINES])
def test_the_smallest_temperatures_are_certain(backend: str) -> None:
    settings = [Sampling(temperature=t, seed=s) for t in (1e-45, 1e-38, 1e-6) for s in range(3)]
    for result in run(machine(backend), settings, steps=2):
        assert result.counts.all()
    greedy = [r.tokens[0, 0] for r in run(machine(backend), [Sampling(temperature=0)], steps=2)]
    assert [r.tokens[0, 0] for r in run(machine(backend), settings[:1], steps=2)] == greedy
