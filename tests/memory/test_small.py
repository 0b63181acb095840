"""A model of which nothing is worth moving needs no store, whatever is to guard its reads."""

from __future__ import annotations

from pathlib import Path

from bench.write_model import write_model
from ostinato.api import Model
from tests.memory.streamed import opened_with
from tools.llama_files import LlamaShape

SHAPE = LlamaShape(layers=2, width=64, heads=2, kv_heads=2, feed_forward=128, vocab=512, context=256)


def test_nothing_streams_of_a_model_of_small_matrices(tmp_path: Path) -> None:
    path, copy = tmp_path / "small.gguf", tmp_path / "copy.gguf"
    write_model(path, SHAPE, "F32", "small")
    copy.write_bytes(path.read_bytes())
    with opened_with(0.5, path=path, replicas=(str(copy),)) as opened, Model(opened) as model:
        assert opened.plan.residency is not None
        assert opened.plan.residency.parcels.parcels == ()
        assert model._executable.store is None
        assert len(list(model.events([3, 4, 5], max_tokens=4, ignore_eos=True))) == 4
