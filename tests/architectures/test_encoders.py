"""Encoders end in one embedding of a whole text: through the engine, too long a text, and what they refuse."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ostinato.convert import convert
from ostinato.convert.errors import ConvertError
from ostinato.convert.pooling import read_pooling
from ostinato.engine.engine import Engine
from ostinato.engine.evaluate import embedding
from ostinato.engine.loading import Opened, Options, PlanError, open_model
from ostinato.engine.local import LocalPort
from ostinato.model.reader import ModelError
from tests.architectures.harness import compare, prompt, run_logits, specimen, write_pooling
from tests.architectures.zoo import ZOO

CONTEXT = 32


@pytest.fixture
def opened() -> Iterator[Opened]:
    made = open_model(specimen("bert").file("F32"), Options(backend="cpu", threads=1, context=CONTEXT, max_sequences=2))
    try:
        yield made
    finally:
        made.file.close()


def test_the_engine_embeds_and_refuses_what_does_not_fit(opened: Opened) -> None:
    executable = opened.compile()
    caches = opened.programs.caches
    port = LocalPort(opened.plan, len(caches), 2)
    engine = Engine(executable, opened.plan, caches, port.table, port, 1, opened.programs.recurrent)
    try:
        found = compare(embedding(engine, prompt(17))[None], specimen("bert").theirs("F32", prompt(17)))
        assert found.nmse < 1e-9
        with pytest.raises(ValueError, match=f"{CONTEXT + 1} tokens; expected 1 to {CONTEXT}"):
            embedding(engine, prompt(CONTEXT + 1))
    finally:
        executable.close()


def test_an_encoder_gives_no_answers(opened: Opened) -> None:
    with pytest.raises(ModelError, match="gives no answers"):
        opened.check_answers()


def test_a_decoder_embeds_only_where_it_says_how() -> None:
    path = specimen("qwen3").file("F32")
    with pytest.raises(PlanError, match="pooling_type"):
        open_model(path, Options(backend="cpu", context=CONTEXT, embed=True))


@pytest.mark.parametrize(("pooling", "number"), [("mean", 1), ("cls", 2), ("lasttoken", 3)])
def test_pooling_is_read_as_sentence_transformers_writes_it(pooling: str, number: int, tmp_path: Path) -> None:
    assert read_pooling(tmp_path).type is None
    write_pooling(tmp_path, pooling)
    assert read_pooling(tmp_path).type == number


def test_products_follow_the_pooling(tmp_path: Path) -> None:
    """As in EmbeddingGemma: 2_Dense and 3_Dense."""
    random = np.random.default_rng(3)
    shutil.copytree(specimen("bert").checkpoint, tmp_path / "hf", ignore=shutil.ignore_patterns("*Pooling", "modules*"))
    width = specimen("bert").theirs("F32", prompt(5)).shape[-1]
    up, down = (random.normal(0, 0.1, shape).astype(np.float32) for shape in ((2 * width, width), (width, 2 * width)))
    write_pooling(tmp_path / "hf", ZOO["bert"].pooling, [up, down])
    convert(tmp_path / "hf", tmp_path / "model.gguf", "F32", tokenizer=False)
    made = open_model(tmp_path / "model.gguf", Options(backend="cpu", threads=1, context=CONTEXT, max_sequences=1))
    try:
        found = run_logits(made, "cpu", prompt(17), CONTEXT)
    finally:
        made.file.close()
    assert compare(found, specimen("bert").theirs("F32", prompt(17)) @ up.T @ down.T).nmse < 1e-9


@pytest.mark.parametrize(("count", "activation", "says"), [(1, "Tanh", "'Tanh'"), (3, "Identity", "3 Dense modules")])
def test_products_that_a_file_cannot_hold_are_refused(count: int, activation: str, says: str, tmp_path: Path) -> None:
    write_pooling(tmp_path, "mean", [np.eye(4, dtype=np.float32)] * count, activation)
    with pytest.raises(ConvertError, match=says):
        read_pooling(tmp_path)


def test_other_modules_are_refused(tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_text('[{"type": "x.LSTM", "path": "1_LSTM"}]')
    with pytest.raises(ConvertError, match="'LSTM'"):
        read_pooling(tmp_path)


@pytest.mark.parametrize(
    "kinds",
    [
        ("Transformer", "Pooling", "Normalize", "Dense"),
        ("Transformer", "Pooling", "Pooling"),
        ("Transformer", "Dense", "Pooling"),
        ("Pooling", "Transformer"),
        ("Transformer", "Pooling", "Normalize", "Normalize"),
    ],
)
def test_modules_in_an_order_that_a_file_cannot_mean_are_refused(kinds: tuple[str, ...], tmp_path: Path) -> None:
    modules = [{"type": f"sentence_transformers.models.{kind}", "path": "1_Pooling"} for kind in kinds]
    write_pooling(tmp_path, "mean")
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ConvertError, match=f"modules.json: {', '.join(kinds)} one after the other"):
        read_pooling(tmp_path)


def test_modules_in_their_order_are_read(tmp_path: Path) -> None:
    write_pooling(tmp_path, "mean", [np.eye(4, dtype=np.float32)] * 2)
    listed = json.loads((tmp_path / "modules.json").read_text())
    normalised = [*listed, {"type": "x.Normalize", "path": "4_Normalize"}]
    (tmp_path / "modules.json").write_text(json.dumps(normalised))
    found = read_pooling(tmp_path)
    assert (found.type, list(found.dense)) == (1, ["dense_2.weight", "dense_3.weight"])


@pytest.mark.parametrize("entry", ["x.Pooling", None, 3, ["x.Pooling", "1_Pooling"]])
def test_entries_that_are_no_modules_are_refused(entry: object, tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_text(json.dumps([entry]))
    with pytest.raises(ConvertError, match="is no module"):
        read_pooling(tmp_path)


def test_unknown_pooling_and_folders_outside_are_refused(tmp_path: Path) -> None:
    write_pooling(tmp_path, "weightedmean")
    with pytest.raises(ConvertError, match="weightedmean"):
        read_pooling(tmp_path)
    (tmp_path / "modules.json").write_text('[{"type": "x.Pooling", "path": "../1_Pooling"}]')
    with pytest.raises(ConvertError, match="not the name of a folder"):
        read_pooling(tmp_path)
