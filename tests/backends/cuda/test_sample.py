"""CUDA's `sample`, on the host: the reference's tokens over settings and logits of every kind, in any grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from ostinato.backends.batch import Batch, Enter, Span
from ostinato.backends.batch_table import Kind
from ostinato.backends.contract import Plan, StepResult
from ostinato.backends.reference import ReferenceBackend
from ostinato.backends.reference.sample import best, log_probabilities, sample_row
from ostinato.backends.sampling import Sampling
from ostinato.program.builder import Builder
from ostinato.program.ir import Programs
from tests.backends.cases import Weights
from tests.backends.cuda.host import HostBackend, HostMachine
from tests.backends.cuda.small import GRIDS
from tests.backends.test_sample import SETTINGS, VOCAB
from tests.backends.test_sample import run as run_sequences

SLOTS = 48
Floats = NDArray[np.float32]


@pytest.mark.parametrize("masked", [False, True])
def test_draws_the_references_tokens(masked: bool) -> None:
    mask = np.random.default_rng(0).integers(0, 2**32, -(-VOCAB // 32), dtype=np.uint32) if masked else None
    settings = list(SETTINGS.values())
    wanted = run_sequences(ReferenceBackend(), settings, mask)
    for reference, found in zip(wanted, run_sequences(HostBackend(), settings, mask), strict=True):
        drawn = zip(SETTINGS, found.tokens[:, 0].tolist(), strict=True)
        assert dict(drawn) == dict(zip(SETTINGS, reference.tokens[:, 0].tolist(), strict=True))
        np.testing.assert_array_equal(found.top_ids, reference.top_ids)
        np.testing.assert_allclose(found.logprobs, reference.logprobs, atol=1e-4)
        np.testing.assert_allclose(found.top_logprobs, reference.top_logprobs, atol=1e-4)


# ------------------------------------------------------------------------------------------- logits of every kind


def logits_of_every_kind(vocab: int) -> Floats:
    """float32 [vocab, vocab]: row t is what token t makes; kinds take turns."""
    random = np.random.default_rng(vocab)
    rows = random.normal(0, 3, (vocab, vocab)).astype(np.float32)
    for row, kind in zip(rows, np.arange(vocab) % 16, strict=True):
        some = random.random(vocab)
        if kind == 1:
            row[:] = np.rint(row)  # many ties
        elif kind == 2:
            row[:] = 1.5  # nothing but ties
        elif kind == 3:
            row[some < 0.3] = np.nan
        elif kind == 4:
            row[some < 0.9] = -np.inf
        elif kind == 5:
            row[some < 0.1] = np.inf
        elif kind == 6:
            row[:] = np.nan
        elif kind == 7:
            row[:] = -np.inf
        elif kind == 8:
            row *= np.float32(1e37)
        elif kind == 9:
            row *= np.float32(1e-42)  # subnormal
        elif kind == 10:
            row[:] = np.where(some < 0.5, np.float32(0), np.float32(-0.0))
        elif kind == 11:
            row *= 8  # one or two tokens have it all
        elif kind == 12:
            row -= 1000
    return rows


def settings_of_every_kind(random: np.random.Generator, vocab: int) -> Sampling:
    def often(value: float, otherwise: float) -> float:
        return float(np.float32(value)) if random.random() < 0.5 else otherwise

    tokens = random.integers(0, vocab, int(random.integers(0, 40)) if random.random() < 0.3 else 0)
    return Sampling(
        temperature=often(random.choice([0, 1e-45, 1e-3, 0.5, 1, 3, 100]), 1.0),
        top_k=int(random.choice([0, 1, 2, 7, vocab // 2, vocab - 1, vocab, 2**31 - 1])),
        top_p=often(random.choice([0, 1e-7, 0.05, 0.5, 0.9, 0.999, 1]), 1.0),
        min_p=often(random.choice([1e-6, 0.02, 0.3, 1]), 0.0),
        presence_penalty=often(random.uniform(-2, 2), 0.0),
        frequency_penalty=often(random.uniform(-2, 2), 0.0),
        repetition_penalty=often(random.choice([1e-3, 0.7, 1.3, 1e3]), 1.0),
        seed=int(random.integers(0, 2**64, dtype=np.uint64)),
        choice=int(random.integers(0, 2**31)),
        logprobs=int(random.integers(-1, 21)),
        logit_bias=tuple((int(token), float(np.float32(random.uniform(-100, 100)))) for token in tokens),
    )


@cache
def machine(vocab: int) -> HostMachine:
    weights = Weights(0)
    b = Builder(weights.tensors)
    logits = b.add("select", b.add("embed", weights=(weights.put("table", logits_of_every_kind(vocab)),)))
    b.add("sample", logits)
    program = b.program("sample", {"logits": logits}, vocab)
    plan = Plan(max_rows=SLOTS * 40, max_logit_rows=SLOTS * 2, max_sequences=SLOTS, context=40, blocks=1)
    return HostMachine(Programs(program, program), weights.tensors, plan)


def batch_of_every_kind(vocab: int, seed: int) -> Batch:
    """Prompts and generated rows, some with a history that counts as generated, some masked, some two logit rows."""
    random = np.random.default_rng(seed)
    lengths = random.integers(1, 40, SLOTS)
    prompts = int(random.integers(0, SLOTS))
    spans = [
        Span(slot, Kind.PROMPT if slot < prompts else Kind.GENERATED, 0,
             random.integers(0, min(vocab, 60), length).tolist(), min(int(length), 1 + slot % 2), sample=slot % 7 != 5)
        for slot, length in enumerate(lengths)
    ]  # fmt: skip
    enters = [
        Enter(slot, int(random.integers(0, length + 1)), settings_of_every_kind(random, vocab))
        for slot, length in enumerate(lengths)
    ]
    masks = [
        (slot, random.integers(0, 2**32, -(-vocab // 32), dtype=np.uint32) & np.uint32(random.choice([1, 2**32 - 1])))
        for slot in range(0, SLOTS, 3)
    ]
    return Batch(spans, enters, masks=masks)


def wanted_tokens(vocab: int, batch: Batch) -> list[int]:
    table, masks, out = logits_of_every_kind(vocab), dict(batch.masks), []
    for span, enter in zip(batch.spans, batch.enters, strict=True):
        if span.sample:
            assert span.tokens is not None
            history = np.array(span.tokens, np.int32)
            with np.errstate(all="ignore"):
                out.append(
                    sample_row(table[history[-1]], enter.sampling, history, enter.prompt_length, masks.get(span.slot))
                )
    return out


@pytest.mark.parametrize(("vocab", "seeds"), [(1, 2), (31, 10), (33, 10), (517, 50), (1500, 20)])
def test_draws_the_references_tokens_from_logits_of_every_kind(vocab: int, seeds: int) -> None:
    host = machine(vocab)
    for seed in range(seeds):
        batch = batch_of_every_kind(vocab, seed)
        host.step(batch)
        result = host.result(batch)
        drawing = [index for index, span in enumerate(batch.spans) if span.sample]
        found, wanted = result.tokens[:, 0].tolist(), wanted_tokens(vocab, batch)
        different = [(index, f, w) for index, f, w in zip(drawing, found, wanted, strict=True) if f != w]
        assert not different, f"seed {seed}: (span, found, wanted) {different}"
        check_reports(vocab, batch, drawing, result)


def check_reports(vocab: int, batch: Batch, drawing: Sequence[int], result: StepResult) -> None:
    """Log-probabilities and best ids of raw logits, as many as asked for."""
    table = logits_of_every_kind(vocab)
    for row, index in enumerate(drawing):
        tokens, token, count = batch.spans[index].tokens, result.tokens[row, 0], batch.enters[index].sampling.logprobs
        assert tokens is not None
        logits = table[tokens[-1]]
        with np.errstate(all="ignore"):
            logprobs = log_probabilities(logits)
        wanted = logprobs[token] if count >= 0 and token >= 0 else np.nan
        np.testing.assert_allclose(result.logprobs[row, 0], wanted, rtol=1e-5, atol=1e-4)
        ids = best(logits, max(count, 0))
        np.testing.assert_array_equal(result.top_ids[row, 0, : len(ids)], ids)
        np.testing.assert_allclose(result.top_logprobs[row, 0, : len(ids)], logprobs[ids], rtol=1e-5, atol=1e-4)
        assert (result.top_ids[row, 0, len(ids) :] == -1).all()
        assert np.isnan(result.top_logprobs[row, 0, len(ids) :]).all()


def test_the_grid_changes_no_bit() -> None:
    host, batches = machine(517), [batch_of_every_kind(517, seed) for seed in range(3)]
    rounds: list[list[NDArray[np.int32]]] = []
    for blocks, warps in ((1, 1), *GRIDS, (4, 32)):  # the first round leaves the same old words to all others
        host.blocks, host.warps = blocks, warps
        found = [words for batch in batches for words in outcome(host, batch)]
        if len(rounds) > 1:
            for words, wanted in zip(found, rounds[1], strict=True):
                np.testing.assert_array_equal(words, wanted, err_msg=f"{blocks} blocks of {warps} warps")
        rounds.append(found)


def outcome(host: HostMachine, batch: Batch) -> tuple[NDArray[np.int32], ...]:
    host.step(batch)
    return host.words("result").copy(), host.words("state").copy()


def test_tokens_go_into_the_history_and_the_value() -> None:
    """And rows that draw nothing hold -1."""
    host, batch = machine(33), batch_of_every_kind(33, 4)
    host.step(batch)
    found = host.result(batch).tokens[:, 0]
    call = next(call for call in host.calls if call.phase == "sample")
    value = host.floats(int(call.words["tokens"]), batch.logit_rows, 1).view(np.int32)[:, 0]
    ends = np.cumsum([span.logit_rows for span in batch.spans]) - 1
    draws = [end for end, span in zip(ends, batch.spans, strict=True) if span.sample]
    assert value[draws].tolist() == found.tolist()
    assert (np.delete(value, draws) == -1).all()
    history = host.words("state")[host.layout["history"] :].reshape(-1)
    drawing = [span for span in batch.spans if span.sample]
    for span, token in zip(drawing, found.tolist(), strict=True):
        assert history[span.slot * 41 + span.count] == max(token, 0)


def test_a_vocabulary_of_many_equal_scores_is_cut_by_id() -> None:
    """Top-k and top-p among ties keep the lower ids, whatever warp holds them."""
    host = machine(517)
    equal = 2  # the kind of nothing but ties
    for settings in (Sampling(top_k=100), Sampling(top_p=0.25), Sampling(top_k=400, top_p=0.5)):
        spans = [Span(slot, Kind.PROMPT, 0, [equal], 1, sample=True) for slot in range(SLOTS)]
        batch = Batch(spans, [Enter(slot, 1, replace(settings, seed=slot)) for slot in range(SLOTS)])
        host.step(batch)
        found = host.result(batch).tokens[:, 0]
        assert found.tolist() == wanted_tokens(517, batch)
        assert found.max() < {100: 100, 0: 130, 400: 200}[settings.top_k]
