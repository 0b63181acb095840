"""Tensor plans: names, shapes, and which matrices a mix raises."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from bench.write_model import PRESETS
from tools.llama_files import plan, use_more_bits
from tools.tiny_models import tiny_shape
from tools.vocabularies import made_up_pieces


def types(mix: str, moe: bool = False, tied: bool = False) -> dict[str, str]:
    return {tensor.name: tensor.type for tensor in plan(replace(tiny_shape(moe), tied=tied), mix)}


def test_more_bits_for_the_first_and_last_eighth_and_every_third() -> None:
    chosen = [layer for layer in range(22) if use_more_bits(layer, 22)]
    assert chosen == [0, 1, 4, 7, 10, 13, 16, 19, 20, 21]


def test_q4_k_m_of_the_real_shape_has_the_counts_that_llama_quantize_gives() -> None:
    """`llama-quantize` (ggml 0.25.3) chose these types for all 201 tensors of the 1.1B shape."""
    counts = Counter(tensor.type for tensor in plan(PRESETS["tinyllama-1.1b"], "Q4_K_M"))
    assert counts == {"F32": 45, "Q4_K": 135, "Q6_K": 21}


@pytest.mark.parametrize("mix", ["F32", "F16", "Q8_0"])
def test_plain_types_hold_all_matrices(mix: str) -> None:
    assert {type for name, type in types(mix).items() if "norm" not in name} == {mix}


def test_the_output_matrix_is_q6_k_tied_or_not() -> None:
    assert types("Q4_K")["output.weight"] == "Q6_K"
    assert types("Q4_K")["token_embd.weight"] == "Q4_K"
    tied = types("Q4_K", tied=True)
    assert tied["token_embd.weight"] == "Q6_K"
    assert "output.weight" not in tied


def test_routers_and_norms_stay_f32() -> None:
    chosen = types("Q4_K_M", moe=True)
    assert chosen["blk.0.ffn_gate_inp.weight"] == chosen["blk.0.ffn_norm.weight"] == "F32"


def test_expert_matrices_have_three_axes() -> None:
    shapes = {tensor.name: tensor.shape for tensor in plan(tiny_shape(moe=True), "F32")}
    assert shapes["blk.1.ffn_down_exps.weight"] == (8, 256, 256)
    assert "blk.1.ffn_down.weight" not in shapes


@pytest.mark.parametrize("size", [320, 512, 32000])
def test_made_up_pieces_are_unique(size: int) -> None:
    pieces = made_up_pieces(size)
    assert len(set(pieces)) == len(pieces) == size
