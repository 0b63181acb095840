"""Every architecture with weights that stream: not a bit changes, and the budget counts every byte of the file once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ostinato.engine.loading import Options, open_model
from ostinato.gguf.reader import GGUFFile
from ostinato.memory.options import ReadMode, Settings, StoreOptions
from ostinato.memory.parcels import Parcels, streaming_parcels
from tests.architectures.harness import prompt, run_logits, specimen
from tests.architectures.zoo import ZOO
from tests.backends.test_cpu_streaming import Sliced

TOKENS, CHUNK = 24, 8
FAST = ("gemma4-e", "deepseek-v3", "qwen35moe", "command-r")  # rows of tables, latent keys, recurrent state, tied
SOME = [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in ZOO]


@pytest.mark.parametrize("name", SOME)
def test_streamed_weights_change_no_bit(name: str) -> None:
    options = Options(
        backend="cpu", context=64, threads=2, max_sequences=1, max_rows=64, embed=bool(ZOO[name].pooling)
    )  # fmt: skip
    opened = open_model(specimen(name).file("F32"), options)
    with opened.file as file:
        resident = run_logits(opened, "cpu", prompt(TOKENS), CHUNK)
        parcels = streaming_parcels(opened.programs, file)
        assert parcels.parcels
        assert parcels.resident_bytes == untouched(file, parcels)
        for share in (0.35, 0.8):
            settings = Settings(StoreOptions(mode=ReadMode.CACHED))
            residency = Sliced(parcels, int(share * parcels.nbytes), 0, file, settings)
            streamed = replace(opened, plan=replace(opened.plan, residency=residency))
            np.testing.assert_array_equal(run_logits(streamed, "cpu", prompt(TOKENS), CHUNK), resident)


def untouched(file: GGUFFile, parcels: Parcels) -> int:
    """Bytes of the file's tensors that lie in no parcel."""
    touched = [np.zeros(part.file.memory.nbytes, bool) for part in file.parts]
    for extent in (extent for parcel in parcels.parcels for extent in parcel.extents):
        touched[extent.file][extent.offset : extent.offset + extent.nbytes] = True
    return sum(tensor.nbytes for tensor in file.tensors.values()) - int(sum(own.sum() for own in touched))
