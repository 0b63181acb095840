"""What recipes make of settings that change the model's meaning: stated in the file, or refused."""

from __future__ import annotations

from typing import Any

import pytest

from ostinato.convert.config import Config
from ostinato.convert.errors import ConvertError
from ostinato.convert.metadata import model_metadata
from ostinato.convert.recipe import Facts
from ostinato.convert.recipes import RECIPES
from ostinato.convert.shared import rope_facts
from ostinato.gguf.types_table import TensorType

SIZES = {"n_embd": 64, "n_head": 4, "hidden_size": 64, "num_attention_heads": 4}


def facts(name: str, **settings: Any) -> Facts:
    recipe = RECIPES[name]
    return recipe.facts(Config({**SIZES, **settings}).with_defaults(recipe.defaults or {}))


@pytest.mark.parametrize(
    ("name", "setting", "usual"),
    [
        ("GPT2LMHeadModel", "activation_function", "gelu_pytorch_tanh"),
        ("GPTBigCodeForCausalLM", "activation_function", "gelu_pytorch_tanh"),
        ("GPTNeoXForCausalLM", "hidden_act", "gelu"),
        ("PhiForCausalLM", "hidden_act", "gelu_new"),
        ("StableLmForCausalLM", "hidden_act", "silu"),
        ("NemotronForCausalLM", "hidden_act", "relu2"),
        ("BertModel", "hidden_act", "gelu"),
    ],
)
def test_activations_are_stated(name: str, setting: str, usual: str) -> None:
    assert facts(name)["hidden_activation"] == usual
    assert facts(name, **{setting: "gelu_fast"})["hidden_activation"] == "gelu_fast"
    with pytest.raises(ConvertError, match="activation 'gelu_10' is not known; known: gelu,"):
        facts(name, **{setting: "gelu_10"})


@pytest.mark.parametrize("name", ["GPT2LMHeadModel", "GPTBigCodeForCausalLM"])
@pytest.mark.parametrize(
    ("setting", "usual"), [("scale_attn_weights", True), ("scale_attn_by_inverse_layer_idx", False)]
)
def test_scores_scaled_otherwise_are_refused(name: str, setting: str, usual: bool) -> None:
    assert facts(name, **{setting: usual}) == facts(name)
    with pytest.raises(ConvertError, match=f"'{setting}' is not {str(usual).lower()}"):
        facts(name, **{setting: not usual})


@pytest.mark.parametrize("share", ["partial_rotary_factor", "rotary_pct", "rotary_emb_fraction"])
@pytest.mark.parametrize("base", ["rope_theta", "rotary_emb_base"])
@pytest.mark.parametrize("scaling", [{}, {"rope_scaling": {"rope_type": "linear", "factor": 2.0}}])
def test_older_names_of_the_rotation(share: str, base: str, scaling: dict[str, Any]) -> None:
    found = rope_facts(Config({**SIZES, share: 0.25, base: 5000, **scaling}))
    assert (found["rope.dimension_count"], found["rope.freq_base"]) == (4, 5000.0)


def test_parameters_of_the_rotation_come_before_older_names() -> None:
    config = Config({**SIZES, "rotary_emb_base": 5000, "rope_parameters": {"rope_theta": 1e6}})
    assert rope_facts(config)["rope.freq_base"] == 1e6


def hunyuan(**settings: Any) -> dict[str, Any]:
    config = Config({**SIZES, "num_hidden_layers": 2, "intermediate_size": 96, **settings})
    return model_metadata(RECIPES["HunYuanMoEV1ForCausalLM"], config, "model", TensorType.F32)


def test_numbers_listed_for_each_layer_alike_are_one_number() -> None:
    found = hunyuan(moe_topk=[8, 8], moe_intermediate_size=[48, 48], num_shared_expert=[1, 1])
    assert found["hunyuan-moe.expert_used_count"] == 8
    assert found["hunyuan-moe.expert_feed_forward_length"] == 48
    assert found["hunyuan-moe.expert_shared_count"] == 1
    assert hunyuan(moe_topk=8)["hunyuan-moe.expert_feed_forward_length"] == 96


@pytest.mark.parametrize("listed", [[8, 4], [], ["8", "8"], [8, True], [[8], [8]]])
def test_numbers_that_differ_between_layers_are_refused(listed: list[Any]) -> None:
    with pytest.raises(ConvertError, match=r"'moe_topk' is .*; expected a whole number alike in all layers"):
        hunyuan(moe_topk=listed)
