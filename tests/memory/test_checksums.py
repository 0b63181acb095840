"""Checksums: made by a command, verified on every read. What does not match comes from a replica or fails."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ostinato import _memory
from ostinato.api import Model
from ostinato.engine.loading import PlanError, open_model
from ostinato.engine.process import decode_options, encode_options
from ostinato.memory.checksums import ChecksumsError, load_checksums
from ostinato.memory.parcels import Parcels, streaming_parcels
from ostinato.memory.statistics import statistics
from tests.cli.support import call
from tests.memory.streamed import OPTIONS, opened_with
from tests.memory.test_unreadable import prompt, tokens
from tests.support import BUILTIN
from tools.tiny_models import write_tiny_model

MISMATCH = r"weights could not be read: .*\.gguf: .+ at byte \d+ does not have its checksum"


@pytest.fixture(scope="module")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sums") / "sums.json"
    done = call("checksums", str(BUILTIN), "-o", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{path}: of 32 experts, ")
    return path


@pytest.fixture(scope="module")
def parcels() -> Parcels:
    with opened_with(0) as opened:
        return streaming_parcels(opened.programs, opened.file)


@pytest.fixture(scope="module")
def expected() -> list[int]:
    with opened_with(0) as opened, Model(opened) as model:
        return tokens(model, prompt(0))


def rotten(path: Path, parcels: Parcels) -> Path:
    """The built-in model with one bit of every expert turned."""
    data = np.fromfile(BUILTIN, np.uint8)
    for parcel in parcels.parcels:
        data[parcel.extents[-1].offset + 11] ^= 4
    data.tofile(path)
    return path


def test_they_are_of_every_parcel_s_bytes(sums: Path, parcels: Parcels) -> None:
    data = np.fromfile(BUILTIN, np.uint8)
    content = [
        np.concatenate([data[e.offset : e.offset + e.nbytes] for e in parcel.extents]) for parcel in parcels.parcels
    ]
    assert load_checksums(sums, parcels).tolist() == [_memory.crc32c(own) for own in content]


@pytest.mark.parametrize("part", [0.3, 2.0])
def test_a_good_file_answers_as_without(sums: Path, expected: list[int], part: float) -> None:
    """Also where everything has a slot: it is verified as it is read."""
    with opened_with(part, checksums=str(sums)) as opened, Model(opened) as model:
        assert model._executable.store is not None
        assert tokens(model, prompt(0)) == expected


def test_a_mismatch_fails_the_request_with_the_reader_s_words(sums: Path, tmp_path: Path, parcels: Parcels) -> None:
    path = rotten(tmp_path / "model.gguf", parcels)
    with opened_with(0.3, path=path, checksums=str(sums)) as opened, Model(opened) as model:
        for _ in range(2):
            with pytest.raises(RuntimeError, match=MISMATCH):
                tokens(model, prompt(0))
        model._engine.check_integrity()


def test_a_replica_serves_what_does_not_match(
    sums: Path, tmp_path: Path, parcels: Parcels, expected: list[int]
) -> None:
    path, replica = rotten(tmp_path / "model.gguf", parcels), tmp_path / "replica.gguf"
    shutil.copy(BUILTIN, replica)
    options = {"checksums": str(sums), "replicas": (str(replica),)}
    with opened_with(0.3, path=path, **options) as opened, Model(opened) as model:
        assert tokens(model, prompt(0)) == expected
        assert model._executable.store is not None
        assert statistics(model._executable.store.native).counts["replica_bytes"] > 0


def test_a_rotten_replica_serves_nothing(sums: Path, tmp_path: Path, parcels: Parcels) -> None:
    path, replica = (rotten(tmp_path / name, parcels) for name in ("model.gguf", "replica.gguf"))
    options = {"checksums": str(sums), "replicas": (str(replica),)}
    with (
        opened_with(0.3, path=path, **options) as opened,
        Model(opened) as model,
        pytest.raises(RuntimeError, match=f"{MISMATCH}, nor has the replica's"),
    ):
        tokens(model, prompt(0))


def test_layers_of_a_dense_model_have_them_too(tmp_path: Path) -> None:
    path, sums = tmp_path / "dense.gguf", tmp_path / "sums.json"
    write_tiny_model(path, type="F32", layers=6)
    assert "parts of layers" in call("checksums", str(path), "-o", str(sums)).stdout
    with opened_with(0.5, path=path, checksums=str(sums)) as opened, Model(opened) as model:
        answer = tokens(model, [3, 4, 5])
        assert model._executable.store is not None
        places = model._executable.store.parcels.parcels
    with opened_with(0, path=path) as opened, Model(opened) as model:
        assert tokens(model, [3, 4, 5]) == answer
    data = np.fromfile(path, np.uint8)
    data[places[3].extents[0].offset] ^= 1
    data.tofile(path)
    with (
        opened_with(0.5, path=path, checksums=str(sums)) as opened,
        Model(opened) as model,
        pytest.raises(RuntimeError, match=MISMATCH),
    ):
        tokens(model, [3, 4, 5])


def test_what_is_refused(sums: Path, tmp_path: Path, parcels: Parcels) -> None:
    document = json.loads(sums.read_text())
    other = [{**parcel, "extents": [[0, 0, 1]]} for parcel in document["parcels"]]
    large = [{**parcel, "crc32c": 1 << 32} for parcel in document["parcels"]]
    for changed, reason in (
        ([], "holds no checksums"),
        ({**document, "version": 2}, "of version 2"),
        ({**document, "parcels": None}, "lists no parcels"),
        ({**document, "parcels": document["parcels"][1:]}, "another model"),
        ({**document, "parcels": other}, "another model"),
        ({**document, "parcels": large}, "not a number"),
    ):
        path = tmp_path / "bad.json"
        path.write_text(json.dumps(changed))
        with pytest.raises(ChecksumsError, match=reason):
            load_checksums(path, parcels)


def test_they_travel_and_need_a_budget(sums: Path) -> None:
    options = replace(OPTIONS, checksums=str(sums))
    assert decode_options(encode_options(options)) == options
    with pytest.raises(PlanError, match="budget"):
        open_model(BUILTIN, options)
