"""The sequence table: what goes in comes out, commits are whole, roll back goes to what the server has."""

from __future__ import annotations

import mmap

import numpy as np
import pytest

from ostinato.backends.sampling import Sampling
from ostinato.engine.records_table import MAX_BIAS, MAX_STOP_IDS, FinishReason
from ostinato.engine.request import Request
from ostinato.engine.sequences import Committed, RecordError, SequenceTable

SHAPE = {"capacity": 4, "context": 100, "caches": 2, "blocks_per_sequence": 7}


def new_memory() -> np.ndarray:
    return np.frombuffer(mmap.mmap(-1, SequenceTable.bytes(**SHAPE)), dtype=np.uint8)


@pytest.fixture
def memory() -> np.ndarray:
    return new_memory()


@pytest.fixture
def table(memory: np.ndarray) -> SequenceTable:
    return SequenceTable(memory, **SHAPE, create=True)


def full_request() -> Request:
    return Request(
        prompt=list(range(1, 100)),
        max_tokens=123,
        sampling=Sampling(
            temperature=0.75, top_k=40, top_p=0.5, min_p=0.25, presence_penalty=-1.5, frequency_penalty=1.25,
            repetition_penalty=1.5, seed=2**64 - 2, choice=3, logprobs=20,
            logit_bias=tuple((token, token / 8 - 30) for token in range(MAX_BIAS)),
        ),
        stop_ids=list(range(MAX_STOP_IDS)),
    )  # fmt: skip


@pytest.mark.parametrize("request_", [full_request(), Request([5], 1)], ids=["all-fields", "least"])
def test_request_comes_back_in_another_mapping(memory: np.ndarray, table: SequenceTable, request_: Request) -> None:
    allocated = table.allocate(request_)
    assert allocated is not None
    record, generation = allocated
    other = SequenceTable(memory, **SHAPE, create=False)
    got = other.request(record)
    assert got == Request(list(request_.prompt), request_.max_tokens, request_.sampling, list(request_.stop_ids))
    assert other.generation(record) == generation
    assert other.live() == [record]
    assert other.committed(record) == Committed(len(request_.prompt), 0, (0, 0))


def test_sections_do_not_overlap(table: SequenceTable) -> None:
    records = [table.allocate(full_request())[0] for _ in range(SHAPE["capacity"])]  # type: ignore[index]
    for record in records:
        table.tokens(record)[:] = 1000 + record
        for cache in range(2):
            table.blocks(record, cache)[:] = 2000 + 10 * record + cache
        table.commit(record, Committed(100, 90 + record, (7, 6)))
    for record in records:
        assert (table.tokens(record) == 1000 + record).all()
        assert all((table.blocks(record, cache) == 2000 + 10 * record + cache).all() for cache in range(2))
        assert table.committed(record) == Committed(100, 90 + record, (7, 6))
        assert table.request(record).sampling == full_request().sampling


def test_records_run_out_and_come_back_with_a_new_generation(table: SequenceTable) -> None:
    allocated = [table.allocate(Request([1], 1)) for _ in range(5)]
    assert allocated[4] is None
    record, generation = allocated[2]  # type: ignore[misc]
    table.free(record)
    assert table.allocate(Request([2], 1)) == (record, generation + 1)
    assert table.live()[-1] == record, "live() runs in order of arrival"
    table.free(record)
    with pytest.raises(ValueError, match="free already"):
        table.free(record)


@pytest.mark.parametrize(
    ("request_", "what"),
    [
        (Request([], 1), "0 prompt tokens; expected 1 to 100"),
        (Request([1] * 101, 1), "101 prompt tokens"),
        (Request([1], 0), "0 max_tokens"),
        (Request([1], 1, stop_ids=[0] * 33), "33 stop ids; expected 0 to 32"),
        (Request([1], 1, Sampling(logit_bias=((1, 1.0),) * 513)), "513 logit_bias pairs"),
    ],
)
def test_requests_that_fit_no_record_are_refused(table: SequenceTable, request_: Request, what: str) -> None:
    with pytest.raises(RecordError, match=what):
        table.allocate(request_)


@pytest.mark.parametrize(
    "state",
    [
        Committed(101, 0, (0, 0)),
        Committed(5, 6, (1, 1)),
        Committed(5, 3, (1, 0)),
        Committed(5, 3, (8, 1)),
        Committed(5, -1, (1, 1)),
        Committed(5, 3, (1,)),
    ],
    ids=["beyond-context", "computed-beyond-length", "computed-without-blocks", "blocks", "negative", "caches"],
)
def test_contradictory_commits_are_refused(table: SequenceTable, state: Committed) -> None:
    record, _ = table.allocate(Request([1, 2, 3], 4))  # type: ignore[misc]
    with pytest.raises(ValueError):
        table.commit(record, state)
    assert table.committed(record) == Committed(3, 0, (0, 0))


def test_bad_record_and_short_memory_are_refused(memory: np.ndarray, table: SequenceTable) -> None:
    with pytest.raises(IndexError, match="record 4 of 4"):
        table.acked(4)
    with pytest.raises(ValueError, match="expected"):
        SequenceTable(memory[:-64], **SHAPE, create=False)


def test_step_marks_tell_who_was_inside(table: SequenceTable) -> None:
    a, b, c = (table.allocate(Request([1], 9))[0] for _ in range(3))  # type: ignore[index]
    assert table.in_flight() == []
    table.mark_step({a: 4, b: 5}, 1)
    table.mark_step({b: 9}, 2)
    assert [table.reach(r) for r in (a, b, c)] == [4, 9, 0]
    assert sorted(table.in_flight()) == sorted([a, b])
    table.step_done(1)
    assert table.in_flight() == [b]
    table.step_done(2)
    assert table.in_flight() == []
    assert table.last_step() == 2
    table.mark_step({c: 1}, 3)
    table.free(c)
    assert table.in_flight() == [], "a freed record is in no step"


@pytest.mark.parametrize("first", [2**31 - 2, 2**32 - 3])
def test_step_numbers_may_outgrow_their_words(table: SequenceTable, first: int) -> None:
    a, b = (table.allocate(Request([1], 9))[0] for _ in range(2))  # type: ignore[index]
    table.step_done(first - 1)
    for step in (first, first + 1):
        table.mark_step({a: 1}, step)
        assert table.in_flight() == [a]
        table.step_done(step)
        assert table.in_flight() == []
    table.mark_step({b: 1}, first + 2)
    assert table.in_flight() == [b]


def test_roll_back_goes_to_what_the_server_has(table: SequenceTable) -> None:
    ahead, ended, fresh = (table.allocate(Request([1, 2, 3], 9))[0] for _ in range(3))  # type: ignore[index]
    table.commit(ahead, Committed(8, 7, (2, 1)))
    table.ack(ahead, 2)
    table.commit(ended, Committed(5, 0, (0, 0), FinishReason.LENGTH))
    table.ack(ended, 1)
    table.mark_step({ahead: 8}, 7)
    assert table.live() == [ahead, fresh]
    table.roll_back()
    assert table.committed(ahead) == Committed(5, 4, (2, 1))
    assert table.committed(ended) == Committed(4, 0, (0, 0))
    assert table.committed(fresh) == Committed(3, 0, (0, 0))
    assert table.live() == [ahead, ended, fresh]
    assert table.in_flight() == []


def test_suspicion_is_forgotten_with_the_record(table: SequenceTable) -> None:
    record, _ = table.allocate(Request([1], 1))  # type: ignore[misc]
    table.set_suspect(record, True)
    assert table.suspect(record)
    table.free(record)
    table.allocate(Request([1], 1))
    assert not table.suspect(record)
