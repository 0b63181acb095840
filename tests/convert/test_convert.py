"""From folder to file: values, types, names, and what is refused."""

from __future__ import annotations

import contextlib
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.convert import ConvertError, convert, plan
from ostinato.convert.numbers import BF16
from ostinato.convert.recipes import RECIPES
from ostinato.gguf.blocks import dequantize, quantize
from ostinato.gguf.reader import GGUFFile, open_gguf
from ostinato.gguf.types_table import TensorType
from ostinato.model.architectures import ARCHITECTURES
from tests.convert.checkpoints import HEADS, VOCAB, WIDTH, checkpoint, llama_tensors, safetensors, write_json

Q = "model.layers.0.self_attn.q_proj.weight"


def values(file: GGUFFile, name: str) -> np.ndarray:
    tensor = file.tensors[name]
    return dequantize(np.asarray(tensor.data).reshape(-1), tensor.type, tensor.shape)


def converted(tmp_path: Path, type: str = "auto", **changes: Any) -> GGUFFile:
    convert(checkpoint(tmp_path / "hf", **changes), tmp_path / "out.gguf", type, tokenizer=False)
    return open_gguf(tmp_path / "out.gguf")


def test_values_and_metadata(tmp_path: Path) -> None:
    theirs = llama_tensors()
    with converted(tmp_path) as file:
        assert file.metadata["general.architecture"] == "llama"
        assert file.metadata["llama.attention.head_count_kv"] == 2
        assert file.metadata["llama.rope.freq_base"] == 10000.0
        assert file.metadata["general.name"] == "hf"
        np.testing.assert_array_equal(values(file, "token_embd.weight"), theirs["model.embed_tokens.weight"])
        np.testing.assert_array_equal(values(file, "output_norm.weight"), theirs["model.norm.weight"])
        rows = theirs[Q].reshape(HEADS, 2, WIDTH // HEADS // 2, WIDTH).swapaxes(1, 2).reshape(WIDTH, WIDTH)
        np.testing.assert_array_equal(values(file, "blk.0.attn_q.weight"), rows)


@pytest.mark.parametrize("type", ["F16", "BF16", "Q8_0"])
def test_types(tmp_path: Path, type: str) -> None:
    stored = TensorType[type]
    theirs = llama_tensors()["model.layers.1.mlp.down_proj.weight"]
    with converted(tmp_path, type) as file:
        assert file.tensors["blk.1.ffn_down.weight"].type is stored
        assert file.tensors["blk.1.ffn_norm.weight"].type is TensorType.F32
        assert np.asarray(file.tensors["blk.1.ffn_down.weight"].data).tobytes() == quantize(theirs, stored).tobytes()


def test_rows_that_hold_no_whole_blocks_become_f16(tmp_path: Path) -> None:
    tensors = llama_tensors()
    for i in range(2):
        stem = f"model.layers.{i}.mlp."
        for part in ("gate_proj", "up_proj"):
            tensors[f"{stem}{part}.weight"] = tensors[f"{stem}{part}.weight"][:90]
        tensors[stem + "down_proj.weight"] = np.ascontiguousarray(tensors[stem + "down_proj.weight"][:, :90])
    convert(checkpoint(tmp_path / "hf", tensors, intermediate_size=90), tmp_path / "o.gguf", "Q8_0", tokenizer=False)
    with open_gguf(tmp_path / "o.gguf") as file:
        assert file.tensors["blk.0.ffn_down.weight"].type is TensorType.F16
        assert file.tensors["blk.0.ffn_up.weight"].type is TensorType.Q8_0


def test_bf16_stays_as_it_is(tmp_path: Path) -> None:
    theirs = {name: (array.view(np.uint32) >> 16).astype(np.uint16) for name, array in llama_tensors().items()}
    folder = checkpoint(tmp_path / "hf")
    safetensors(folder / "model.safetensors", theirs, "BF16")
    convert(folder, tmp_path / "out.gguf", tokenizer=False)
    with open_gguf(tmp_path / "out.gguf") as file:
        down = file.tensors["blk.0.ffn_down.weight"]
        assert down.type is TensorType.BF16
        assert np.asarray(down.data).tobytes() == theirs["model.layers.0.mlp.down_proj.weight"].tobytes()
        assert file.tensors["output_norm.weight"].type is TensorType.F32
    assert BF16.itemsize == 2


@pytest.mark.parametrize("shape", [(), (1,), (WIDTH,), (WIDTH, 1), (2, 3)])
def test_floats_of_8_bits_with_scales(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Scales for the matrix, its rows, or its squares of 32 (here 64 x 96 elements: 2 x 3 squares)."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    library = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
    name = "model.layers.1.mlp.down_proj.weight"
    tensors = {key: torch.from_numpy(array) for key, array in llama_tensors().items()}
    tensors[name] = tensors[name].to(torch.float8_e4m3fn)
    scale = torch.rand(shape) + 0.5
    tensors[name + "_scale_inv"] = scale
    folder = checkpoint(tmp_path / "hf", quantization_config={"quant_method": "fp8", "weight_block_size": [32, 32]})
    library.save_file(tensors, folder / "model.safetensors")
    convert(folder, tmp_path / "out.gguf", "F32", tokenizer=False)
    if shape == (2, 3):
        scale = scale.repeat_interleave(32, 0).repeat_interleave(32, 1)
    expected = tensors[name].float() * (scale if scale.ndim == 2 else scale.reshape(-1, 1))
    with open_gguf(tmp_path / "out.gguf") as file:
        np.testing.assert_array_equal(values(file, "blk.1.ffn_down.weight"), expected.numpy())
    del tensors[name + "_scale_inv"]
    library.save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ConvertError, match="without scales that fit"):
        plan(folder, tokenizer=False)


def test_tied_output_is_not_stored_twice(tmp_path: Path) -> None:
    with converted(tmp_path, tie_word_embeddings=True) as file:
        assert "output.weight" not in file.tensors


def test_names_of_larger_models(tmp_path: Path) -> None:
    """A text model inside one that sees: its own names and configuration come forward, eyes are left out."""
    tensors = {f"language_model.{name}": array for name, array in llama_tensors().items()}
    tensors["vision_tower.blocks.0.weight"] = np.ones((2, 2), np.float32)
    folder = checkpoint(tmp_path / "hf", tensors)
    text = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", {"architectures": text.pop("architectures"), "text_config": text})
    convert(folder, tmp_path / "out.gguf", tokenizer=False)
    with open_gguf(tmp_path / "out.gguf") as file:
        assert "blk.1.ffn_up.weight" in file.tensors


def refused(tmp_path: Path, message: str, tensors: dict[str, np.ndarray] | None = None, **changes: Any) -> None:
    folder = checkpoint(tmp_path / "hf", tensors, **changes)
    with pytest.raises(ConvertError, match=message) as caught:
        convert(folder, tmp_path / "out.gguf", tokenizer=False)
    assert "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == {"hf"}


def test_of_unknown_architectures_the_nearest_are_named(tmp_path: Path) -> None:
    refused(
        tmp_path,
        "'MambaForCausalLM' is not supported; [0-9]+ others are, among them .*LlamaForCausalLM",
        architectures=["MambaForCausalLM"],
    )


@pytest.mark.parametrize("name", [Q, "model.layers.1.input_layernorm.weight", "model.norm.weight"])
def test_missing_tensors_are_named(tmp_path: Path, name: str) -> None:
    refused(tmp_path, "has no tensor|no tensor", {k: v for k, v in llama_tensors().items() if k != name})


def test_tensors_left_over_are_named(tmp_path: Path) -> None:
    tensors = llama_tensors() | {"model.layers.0.self_attn.secret.weight": np.ones((2, 2), np.float32)}
    refused(tmp_path, r"1 tensors .* no use for: model\.layers\.0\.self_attn\.secret\.weight", tensors)


def test_layers_that_draft_are_left_out(tmp_path: Path) -> None:
    drafts = {f"model.layers.2.{name}.weight": np.ones((4, 4), np.float32) for name in ("eh_proj", "enorm")}
    folder = checkpoint(tmp_path / "hf", llama_tensors() | drafts, num_nextn_predict_layers=1)
    assert not [t.name for t in plan(folder, tokenizer=False).tensors if t.name.startswith("blk.2.")]


def test_layers_beyond_the_configuration_are_refused(tmp_path: Path) -> None:
    refused(tmp_path, "would not load", num_hidden_layers=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_attention_heads": "4"}, "'num_attention_heads' is '4'; expected a whole number"),
        ({"num_attention_heads": 0}, "expected at least 1"),
        ({"num_attention_heads": 7}, "are not 7 heads|head"),
        ({"num_hidden_layers": 10**7}, "layers; expected 1 to"),
        ({"num_hidden_layers": None}, "'num_hidden_layers' .* is missing"),
        ({"rms_norm_eps": True}, "'rms_norm_eps' is True; expected a number"),
        ({"rope_scaling": {"rope_type": "spiral"}}, "rope scaling 'spiral' is not known"),
        ({"rope_scaling": {"rope_type": "linear"}}, "'factor' is missing"),
        ({"architectures": "LlamaForCausalLM"}, "'architectures' must be a list"),
        ({"architectures": []}, "'architectures' must be a list"),
        ({"vocab_size": 10**30}, "'vocab_size' is"),
    ],
)
def test_broken_configurations(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    refused(tmp_path, message, **changes)


ODD = st.sampled_from(
    [0, -1, 1, 3, 2**31, 10**40, 0.0, 1e-300, 1e300, float("nan"), float("inf"), "x", "", [], {}, [1], True]
)
NAMES = (
    "num_attention_heads", "num_key_value_heads", "head_dim", "hidden_size", "sliding_window", "layer_types",
    "sliding_window_pattern", "rope_theta", "rope_scaling", "partial_rotary_factor", "quantization_config",
    "max_position_embeddings", "tie_word_embeddings", "num_experts", "vocab_size", "rms_norm_eps", "text_config",
)  # fmt: skip
ROPE = ("rope_type", "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings", "rope_theta",
        "short_factor", "long_factor", "mrope_section")  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from(NAMES), ODD, max_size=3),
    st.sampled_from(["llama3", "linear", "yarn", "longrope", "default"]),
    st.dictionaries(st.sampled_from(ROPE), ODD),
)
def test_odd_configurations_are_refused_or_planned(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any], kind: str, rope: dict[str, Any]
) -> None:
    folder = checkpoint(
        tmp_path_factory.getbasetemp() / "odd", **{"rope_scaling": {"rope_type": kind, **rope}, **changes}
    )
    with contextlib.suppress(ConvertError):
        plan(folder, tokenizer=False)


@pytest.mark.parametrize(
    "changes", [{"factor": 0}, {"factor": -8}, {"factor": 1e-300}, {"low_freq_factor": 4}, {"rope_theta": 0}]
)
def test_llama3_factors_that_are_no_numbers_are_refused(tmp_path: Path, changes: dict[str, float]) -> None:
    rope = {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4, "rope_theta": 1e4,
            "original_max_position_embeddings": 64}  # fmt: skip
    assert (plan(checkpoint(tmp_path / "sound", rope_scaling=rope), tokenizer=False).extras["rope_freqs.weight"]).all()
    refused(tmp_path / "odd", "make no model|expected numbers above 0", rope_scaling=rope | changes)


def test_a_formula_that_fails_is_the_configurations_fault(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "hf", rope_scaling={"rope_type": "llama3", "factor": 8, "low_freq_factor": 1,
                        "high_freq_factor": 0, "original_max_position_embeddings": 64})  # fmt: skip
    with pytest.raises(ConvertError, match=r"config\.json: values that make no model: ") as caught:
        plan(folder, tokenizer=False)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_mistake_of_ours_is_not_taken_for_the_configurations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(*_: object) -> None:
        raise TypeError("ours")

    monkeypatch.setattr(importlib.import_module("ostinato.convert.convert"), "check_model", mistaken)
    with pytest.raises(TypeError, match="ours"):
        plan(checkpoint(tmp_path / "hf"), tokenizer=False)


def test_values_that_f16_cannot_hold(tmp_path: Path) -> None:
    tensors = llama_tensors()
    tensors[Q][0, 0] = 1e6
    folder = checkpoint(tmp_path / "hf", tensors)
    with pytest.raises(ConvertError, match=r"q_proj.*1e\+06 does not fit F16; choose BF16 or F32"):
        convert(folder, tmp_path / "out.gguf", "F16", tokenizer=False)
    assert not (tmp_path / "out.gguf").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]


def test_no_folder_and_no_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match="not a folder"):
        plan(tmp_path / "gone")
    with pytest.raises(ConvertError, match=r"neither tokenizer\.json nor tokenizer\.model is there \(--no-tokenizer"):
        plan(checkpoint(tmp_path / "hf"))
    with pytest.raises(ConvertError, match="type 'Q9' is not known; known: auto, F32"):
        plan(tmp_path / "hf", "Q9")


def test_every_recipe_makes_a_model_that_can_be_read() -> None:
    assert {recipe.architecture for recipe in RECIPES.values()} <= ARCHITECTURES.keys()


def test_sizes_are_told_before_anything_is_written(tmp_path: Path) -> None:
    made = plan(checkpoint(tmp_path / "hf"), "F32", tokenizer=False)
    assert made.nbytes == sum(array.nbytes for array in llama_tensors().values())
    assert made.tensors[0].shape == (VOCAB, WIDTH)
