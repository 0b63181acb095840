"""Which tensor gets which type: as llama.cpp's llama-quantize decides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ostinato.gguf.reader import open_gguf
from ostinato.gguf.types_table import TensorType
from ostinato.quantize.file import make_plan
from ostinato.quantize.mixes import MIXES, PLAIN
from ostinato.quantize.rules import Overrides, fitting, layer_of
from tests.quantize import llama
from tests.quantize.models import CASES, Case

GOLDEN = json.loads(llama.GOLDEN.read_text())["types"]
OVERRIDES: tuple[tuple[Overrides, dict[str, Any]], ...] = (
    (Overrides(pure=True), {"pure": True}),
    (Overrides(output=TensorType.Q8_0), {"output_tensor_type": TensorType.Q8_0}),
    (Overrides(embedding=TensorType.F16), {"token_embedding_type": TensorType.F16}),
)
WHOLE = [case for case in CASES if case.width == 256]  # llama.cpp does not check that overrides fit a row


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_types_are_those_of_llama_cpp(case: Case, tmp_path: Path) -> None:
    case.write(tmp_path / "model.gguf")
    with open_gguf(tmp_path / "model.gguf") as file:
        chosen = {name: llama.summary(make_plan(file, mix).types) for name, mix in MIXES.items()}
    assert chosen == GOLDEN[case.name]


@pytest.mark.slow
@pytest.mark.parametrize(("overrides", "parameters"), OVERRIDES, ids=["pure", "output", "embedding"])
@pytest.mark.parametrize("case", WHOLE, ids=lambda case: case.name)
def test_overrides_do_what_they_do_in_llama_cpp(
    case: Case, overrides: Overrides, parameters: dict[str, Any], tmp_path: Path
) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed (pip install '.[dev]')")
    source, target = tmp_path / "source.gguf", tmp_path / "target.gguf"
    case.write(source)
    for name in ("Q4_K_M", "Q8_0", "F16", "MXFP4_MOE"):
        llama.quantize_file(source, target, MIXES[name], **parameters)
        with open_gguf(source) as file:
            assert llama.summary(make_plan(file, MIXES[name], overrides).types) == llama.types_of(target)


def test_overrides_must_fit_too(tmp_path: Path) -> None:
    Case("", 1, 288, 2).write(tmp_path / "model.gguf")
    with open_gguf(tmp_path / "model.gguf") as file:
        types = make_plan(file, MIXES["Q8_0"], Overrides(TensorType.Q4_K, TensorType.F32)).types
    assert types["output.weight"] is TensorType.Q5_0
    assert types["token_embd.weight"] is TensorType.F32  # number 0 is a type, not the lack of one


@pytest.mark.parametrize("mix", MIXES.values(), ids=lambda mix: mix.name)
def test_every_type_falls_back_to_whole_blocks(mix: Any) -> None:
    for columns in (1, 31, 32, 33, 64, 128, 256, 288, 1024):
        assert columns % fitting(mix.base, columns).block_elements == 0
    assert fitting(mix.base, 1024) is mix.base
    assert fitting(mix.base, 33) is (mix.base if mix.base in PLAIN else TensorType.F16)


def test_layers_by_name() -> None:
    names = ("blk.12.attn_q.weight", "blk.x.attn_q.weight", "v.blk.3.attn_q.weight", "output.weight", "blk.7")
    assert [layer_of(name) for name in names] == [12, -1, -1, -1, -1]


def test_an_unknown_architecture_is_quantised_by_names(tmp_path: Path) -> None:
    """Nothing but names counts, then; what the model lacks in metadata is what a dense model has."""
    Case("", 8, 256, 2, architecture="nobody-knows").write(tmp_path / "model.gguf")
    with open_gguf(tmp_path / "model.gguf") as file:
        types = make_plan(file, MIXES["Q4_K_M"]).types
    assert types["blk.0.ffn_down.weight"] is TensorType.Q6_K
    assert types["blk.1.attn_q.weight"] is TensorType.Q4_K
    assert types["blk.1.attn_norm.weight"] is TensorType.F32
