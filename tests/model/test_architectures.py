"""From metadata and tensors to ModelSpec: capabilities are found, what is missing is named."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from ostinato.gguf.types_table import TensorType
from ostinato.model.architectures import ModelError, read_spec
from ostinato.model.kinds_table import Activation
from ostinato.model.spec import Attention, Body, Dense, Experts, ModelSpec, Projection
from ostinato.model.weights import Stack, StoredTensor, Tensor
from ostinato.program.compile import compile_model
from ostinato.program.ops_table import Load
from ostinato.program.printer import format_program
from tests.backends.cases import MemoryTensor


@dataclass
class FakeFile:
    """A llama of two layers, without values."""

    metadata: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, StoredTensor] = field(default_factory=dict)

    def add(self, name: str, *shape: int) -> None:
        self.tensors[name] = MemoryTensor(name, TensorType.F32, shape, np.zeros(0, np.uint8))


def llama(experts: str = "", **metadata: Any) -> FakeFile:
    file = FakeFile({
        "general.architecture": "llama", "llama.block_count": 2, "llama.context_length": 128,
        "llama.attention.head_count": 4, "llama.attention.head_count_kv": 2, "llama.embedding_length": 32,
        "llama.attention.layer_norm_rms_epsilon": 1e-5, **metadata,
    })  # fmt: skip
    file.add("token_embd.weight", 50, 32)
    file.add("output_norm.weight", 32)
    for i in range(2):
        for name, shape in {
            "attn_norm": (32,), "attn_q": (32, 32), "attn_k": (16, 32), "attn_v": (16, 32), "attn_output": (32, 32),
            "ffn_norm": (32,),
        }.items():  # fmt: skip
            file.add(f"blk.{i}.{name}.weight", *shape)
        for part, shape in {"gate": (48, 32), "up": (48, 32), "down": (32, 48)}.items():
            if experts == "stacked":
                file.add(f"blk.{i}.ffn_{part}_exps.weight", 4, *shape)
            elif experts == "single":
                for e in range(4):
                    file.add(f"blk.{i}.ffn_{part}.{e}.weight", *shape)
            else:
                file.add(f"blk.{i}.ffn_{part}.weight", *shape)
        if experts:
            file.add(f"blk.{i}.ffn_gate_inp.weight", 4, 32)
            file.metadata |= {"llama.expert_count": 4, "llama.expert_used_count": 2}
    return file


def bodies(spec: ModelSpec, layer: int) -> list[Body]:
    return [part.body for block in spec.layers[layer].blocks for part in block.parts]


def test_dense() -> None:
    spec = read_spec(llama())
    attention, ffn = bodies(spec, 1)
    assert isinstance(attention, Attention)
    assert (spec.vocab_size, spec.width, len(spec.layers)) == (50, 32, 2)
    assert (attention.heads, attention.kv_heads, attention.key_dim) == (4, 2, 8)
    assert isinstance(ffn, Dense)
    assert spec.output == Projection(spec.embedding) == Projection(Tensor("token_embd.weight")), "tied"


@pytest.mark.parametrize("how", ["stacked", "single"])
def test_experts(how: str) -> None:
    file = llama(how)
    _, ffn = bodies(read_spec(file), 0)
    assert isinstance(ffn, Experts)
    assert (ffn.count, ffn.used, ffn.normalise) == (4, 2, True)
    assert isinstance(ffn.gate, Stack if how == "single" else Tensor)
    ops = [i.op for i in compile_model(read_spec(file), file.tensors).prefill.instructions if i.layer == 0]
    assert ops[-5:] == ["route", "group", "experts", "combine", "add"]


def test_capabilities_come_from_the_tensors() -> None:
    scaling: dict[str, Any] = {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0}
    file = llama(**scaling)
    file.add("output.weight", 50, 32)
    file.add("rope_freqs.weight", 4)
    file.add("blk.0.attn_q.bias", 32)
    file.add("blk.0.attn_q_norm.weight", 8)
    spec = read_spec(file)
    first, second = (bodies(spec, index)[0] for index in range(2))
    assert isinstance(first, Attention)
    assert isinstance(second, Attention)
    assert spec.output == Projection(Tensor("output.weight"))
    assert first.query.bias == Tensor("blk.0.attn_q.bias")
    assert second.query.bias is None
    assert first.query_norm is not None
    assert first.rope is not None
    assert (first.rope.scale, first.rope.factors) == (0.25, Tensor("rope_freqs.weight"))
    compile_model(spec, file.tensors)


def test_the_listing_shows_every_instruction_with_its_cost() -> None:
    file = llama("stacked")
    program = compile_model(read_spec(file), file.tensors).prefill
    text = format_program(program, file.tensors, Load(rows=1, logit_rows=1, context=10))
    assert sum(f" {i.op} " in line for i in program.instructions[:1] for line in text.splitlines()) == 1
    assert "cache=full.1 heads=4 kv_heads=2" in text
    assert "blk.1.ffn_gate_exps.weight" in text
    assert text.count("\n-- ") == 0
    reads = [i for i in program.instructions if any(i.weights) and i.op not in ("rms_norm", "angles")]
    assert len([line for line in text.splitlines() if line.endswith("B")]) == len(reads) + 4, "and the two layers' KV"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"general.architecture": "gpt9"}, "'gpt9' is not supported; [0-9]+ others are, among them gpt2"),
        ({"general.architecture": 3}, "'general.architecture' is missing"),
        ({"llama.attention.head_count": 0}, "head_count' is 0"),
        ({"llama.attention.head_count_kv": 3}, "4 heads cannot share 3"),
        ({"llama.block_count": "two"}, "must be a number, found 'two'"),
        ({"llama.block_count": 3}, "no tensor 'blk.2"),
        ({"llama.block_count": 10**9}, "block_count' is 1000000000"),
        ({"llama.rope.scaling.type": "wide"}, "'wide'; supported: none, linear, yarn, longrope"),
        ({"llama.hidden_activation": "sine"}, "hidden_activation' is 'sine'; supported: gelu, "),
        ({"llama.hidden_activation": ["gelu"]}, r"hidden_activation' is \['gelu'\]; supported: gelu, "),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        read_spec(llama(**change))


@pytest.mark.parametrize(
    ("stated", "act"), [({}, Activation.SILU), ({"llama.hidden_activation": "gelu_new"}, Activation.GELU)]
)
def test_the_activation_is_the_files_own_where_it_states_one(stated: dict[str, str], act: Activation) -> None:
    program = compile_model(read_spec(file := llama(**stated)), file.tensors).decode
    assert {i.fields["act"] for i in program.instructions if "act" in i.fields} == {act}


@pytest.mark.parametrize("name", ["blk.0.ffn_gate_exps.scale", "blk.7.attn_q.weight", "blk.0.post_layer_norm.weight"])
def test_a_tensor_without_use_is_refused(name: str) -> None:
    file = llama("stacked")
    file.add(name, 32)
    with pytest.raises(ModelError, match=f"1 tensors that architecture 'llama' has no use for here: {name}"):
        read_spec(file)


def test_a_vocabulary_is_not_a_model() -> None:
    with pytest.raises(ModelError, match="can tokenize, not generate"):
        read_spec(FakeFile({"general.architecture": "llama"}))
