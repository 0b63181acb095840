"""The shipped model: what its file holds."""

from __future__ import annotations

import jinja2
import pytest

from ostinato.gguf.reader import open_gguf
from ostinato.gguf.values import ArrayView
from tools.export_builtin import SHIPPED
from tools.llama_files import LlamaShape, plan

SHAPE = LlamaShape(
    layers=4,
    width=256,
    heads=8,
    kv_heads=4,
    feed_forward=256,
    vocab=2048,
    context=1024,
    experts=8,
    experts_used=2,
    tied=True,
)


def test_it_is_small() -> None:
    assert SHIPPED.stat().st_size <= 12_000_000


def test_it_holds_the_planned_tensors() -> None:
    with open_gguf(SHIPPED) as file:
        found = [(tensor.name, tensor.shape, tensor.type.name) for tensor in file.tensors.values()]
    assert found == [(tensor.name, tensor.shape, tensor.type) for tensor in plan(SHAPE, "Q8_0")]


def test_its_specials_are_where_the_template_needs_them() -> None:
    with open_gguf(SHIPPED) as file:
        tokens = file.require("tokenizer.ggml.tokens", ArrayView)
        assert [tokens[i] for i in range(3)] == ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
        assert file.require("tokenizer.ggml.eos_token_id", int) == 2


@pytest.mark.parametrize("prompt", [True, False])
def test_its_template_writes_what_the_trainer_wrote(prompt: bool) -> None:
    with open_gguf(SHIPPED) as file:
        template = file.require("tokenizer.chat_template", str)
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    text = jinja2.Template(template).render(messages=messages, add_generation_prompt=prompt)
    expected = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
    assert text == expected + ("<|im_start|>assistant\n" if prompt else "")
