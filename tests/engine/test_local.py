"""The port within one process: records are taken, acknowledged and given back."""

from __future__ import annotations

import os

import pytest

from ostinato.backends.contract import Plan
from ostinato.engine.local import LocalPort
from ostinato.engine.records_table import Command, FinishReason
from ostinato.engine.request import Request, TokenEvent
from ostinato.engine.sequences import RecordError
from ostinato.engine.supervisor import resident_bytes

PLAN = Plan(context=16, block_size=4)


def test_a_record_is_held_until_the_end_was_published() -> None:
    port = LocalPort(PLAN, caches=1, capacity=1)
    stream = port.submit(Request([1], 4))
    assert stream is not None
    assert port.submit(Request([2], 4)) is None
    port.publish([TokenEvent(stream.record, 0, 7)])
    assert port.table.acked(stream.record) == 1
    assert port.submit(Request([2], 4)) is None
    port.publish([TokenEvent(stream.record, 1, 8, FinishReason.LENGTH)])
    assert [event.token for event in stream.events] == [7, 8]
    assert stream.finish is FinishReason.LENGTH
    again = port.submit(Request([2], 4))
    assert again is not None
    assert (again.record, again.generation) == (stream.record, stream.generation + 1)


def test_commands_are_taken_once_and_in_order() -> None:
    port = LocalPort(PLAN, caches=1, capacity=2)
    stream = port.submit(Request([1], 4))
    assert stream is not None
    port.cancel(stream)
    named = (stream.record, stream.generation)
    assert list(port.commands()) == [(Command.SUBMIT, *named), (Command.CANCEL, *named)]
    assert not port.commands()


def test_an_ended_stream_is_not_cancelled() -> None:
    port = LocalPort(PLAN, caches=1, capacity=2)
    stream = port.submit(Request([1], 4))
    assert stream is not None
    port.commands()
    port.publish([TokenEvent(stream.record, 0, -1, FinishReason.ERROR)])
    port.cancel(stream)
    assert not port.commands()


def test_a_prompt_longer_than_a_record_is_refused() -> None:
    with pytest.raises(RecordError, match="17 prompt tokens"):
        LocalPort(PLAN, caches=1, capacity=1).submit(Request([1] * 17, 4))


def test_a_long_context_takes_memory_only_where_it_is_used() -> None:
    before = resident_bytes(os.getpid())
    port = LocalPort(Plan(context=1 << 20, block_size=16), caches=1, capacity=256)
    assert resident_bytes(os.getpid()) - before < 64 << 20
    assert port.table.capacity == 256
