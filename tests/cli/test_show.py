"""`show`: the overview, its sections, and files that do not run or are none."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path

import pytest

from ostinato.cli.output import size
from ostinato.cli.overview import CONTEXTS, Meaning, facts, lines, memory
from ostinato.gguf.reader import open_gguf
from ostinato.gguf.writer import GGUFWriter
from ostinato.model.spec import ModelSpec
from tests.cli.support import call
from tests.model.specimens import SPECIMENS
from tests.support import BUILTIN
from tools.tiny_models import write_tiny_model


def test_show() -> None:
    done = call("show", str(BUILTIN))
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line.startswith("  "))
    assert done.stdout.startswith(f"{field('general.name')}\n")
    assert lines["architecture"] == field("general.architecture")
    assert lines["context"].endswith(" tokens")
    assert lines["chat"] == "template  yes"
    assert "keys and values" in lines["memory"]
    assert "experts" in lines["budgets"]
    assert lines["runs"] == "yes"
    assert call("show").stdout == done.stdout


@pytest.mark.parametrize(
    ("section", "words"),
    [("metadata", "tokenizer.ggml.merges"), ("tensors", "token_embd.weight"), ("spec", "vocab_size: "),
     ("template", "{% for"), ("program", "embed")],
)  # fmt: skip
def test_sections(section: str, words: str) -> None:
    alone = call("show", str(BUILTIN), f"--{section}").stdout
    assert words in alone
    two = call("show", str(BUILTIN), f"--{section}", "--metadata", "--tensors").stdout
    assert alone in two
    assert "\n\ntensors\n" in two


def field(key: str) -> str:
    return str(json.loads(call("show", str(BUILTIN), "--json").stdout)["metadata"][key])


def test_show_json() -> None:
    found = json.loads(call("show", str(BUILTIN), "--json", "--tensors", "--program").stdout)
    overview = found["overview"]
    assert found["metadata"]["general.architecture"] == overview["architecture"]
    assert found["metadata"]["tokenizer.ggml.tokens"] == {"array_of": "string", "length": overview["vocabulary"]}
    assert overview["parameters"] == sum(prod(tensor["shape"]) for tensor in found["tensors"])
    assert overview["tensor_bytes"] == sum(tensor["bytes"] for tensor in found["tensors"])
    assert sum(overview["quantisation"].values()) == pytest.approx(1)
    assert {"name", "type", "shape", "bytes"} == set(found["tensors"][0])
    assert any("attend" in line for line in found["program"])


def test_show_program_has_costs() -> None:
    lines = call("show", str(BUILTIN), "--program", "--rows", "4").stdout.splitlines()
    assert lines[0].startswith("program")
    linear = next(line for line in lines if " linear " in line)
    assert linear.rstrip().endswith("B")
    assert "op" in linear


def test_show_tensors() -> None:
    lines = call("show", str(BUILTIN), "--tensors").stdout.splitlines()
    assert lines[0].split() == ["TENSOR", "TYPE", "SHAPE", "SIZE"]
    assert lines[1].startswith("token_embd.weight")


def test_show_of_a_vocabulary_says_why_it_does_not_run(data_dir: Path) -> None:
    path = str(data_dir / "vocab" / "ggml-vocab-llama-bpe.gguf")
    assert "runs           no: " in call("show", path).stdout
    done = call("show", path, "--program")
    assert done.returncode == 1
    assert "a vocabulary but no tensors" in done.stderr


def test_show_of_hostile_files_is_one_line(data_dir: Path) -> None:
    rejected = sorted((data_dir / "hostile-gguf").glob("*.reject.gguf"))[:4]
    assert rejected
    for path in rejected:
        done = call("show", str(path))
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert str(path) in done.stderr


def test_experts_are_told(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "moe.gguf", moe=True)
    done = call("show", str(tmp_path / "moe.gguf"))
    assert "  experts        8, 2 used for a token\n" in done.stdout


def test_what_a_budget_must_hold_is_what_is_no_expert(tmp_path: Path) -> None:
    with open_gguf(BUILTIN) as file:
        found = facts(file, Meaning.of(file))
        experts = sum(tensor.nbytes for name, tensor in file.tensors.items() if "_exps." in name)
    assert 0 < found["expert_bytes"] == experts < found["tensor_bytes"]
    write_tiny_model(tmp_path / "dense.gguf", moe=False)
    with open_gguf(tmp_path / "dense.gguf") as file:
        dense = facts(file, Meaning.of(file))
    assert "expert_bytes" not in dense
    assert "budgets" not in dict(lines(dense))


def test_memory_is_weights_and_keys_and_values(tmp_path: Path) -> None:
    """Against the arithmetic by hand: two layers, two KV heads of 64, keys and values, float32."""
    write_tiny_model(tmp_path / "tiny.gguf")
    with open_gguf(tmp_path / "tiny.gguf") as file:
        (row,) = memory(file, Meaning.of(file))
        weights = sum(tensor.nbytes for tensor in file.tensors.values())
    assert row["context"] == 512
    assert row["kv"] == 512 * 2 * 2 * 64 * 2 * 4
    assert row["total"] == weights + row["kv"]


def test_memory_and_costs_follow_the_type_of_keys_and_values() -> None:
    def told(kept: str) -> tuple[int, str]:
        found = json.loads(call("show", "--json", "--program", "--kv-type", kept).stdout)
        attend = next(line for line in found["program"] if " attend " in line)
        return found["overview"]["memory"][0]["kv"], " ".join(attend.split()[-2:])

    (f16, f16_cost), (q8_0, q8_0_cost) = told("f16"), told("q8_0")
    assert 32 * q8_0 == 17 * f16
    assert f16_cost != q8_0_cost
    text = call("show", "--kv-type", "q8_0").stdout
    assert f"keys and values {size(q8_0)}" in text


def test_a_type_of_keys_and_values_that_nothing_shows_is_refused() -> None:
    done = call("show", "--metadata", "--kv-type", "q8_0")
    assert (done.returncode, done.stderr) == (2, "ostinato: --kv-type is about the overview and --program\n")


def test_memory_at_both_contexts_where_the_model_has_them() -> None:
    from dataclasses import replace

    with open_gguf(BUILTIN) as file:
        meaning = Meaning.of(file)
        assert isinstance(meaning.spec, ModelSpec)
        long = Meaning(replace(meaning.spec, context=1 << 17), meaning.programs)
        rows = memory(file, long)
        texts = [text for name, text in lines(facts(file, long)) if name == "memory"]
    assert [row["context"] for row in rows] == list(CONTEXTS)
    assert rows[1]["kv"] == 8 * rows[0]["kv"]
    assert [" at 4,096 tokens" in texts[0], " at 32,768 tokens" in texts[1]] == [True, True]


def test_a_model_without_a_template_says_so(data_dir: Path) -> None:
    done = call("show", str(data_dir / "stories260K" / "stories260K-f16.gguf"), "--template")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "ostinato: the file has no chat template\n"


@pytest.mark.parametrize("option", ["--rows", "--context"])
def test_what_would_do_nothing_is_refused(option: str) -> None:
    done = call("show", str(BUILTIN), option, "4")
    assert (done.returncode, done.stderr) == (2, "ostinato: --rows and --context are about --program\n")


def test_an_encoder_runs_but_gives_no_answers(tmp_path: Path) -> None:
    """`runs yes` alone would promise what `ostinato run` refuses."""
    encoder = SPECIMENS["encoder"]()
    with GGUFWriter(tmp_path / "encoder.gguf") as writer:
        for key, value in encoder.metadata.items():
            writer.add(key, value)
        for name, tensor in encoder.tensors.items():
            writer.add_tensor(name, tensor.shape, tensor.type)
        for name, tensor in encoder.tensors.items():
            writer.write(name, tensor.data)
    overview = json.loads(call("show", str(tmp_path / "encoder.gguf"), "--json").stdout)["overview"]
    assert (overview["runs"], overview["embeds"]) == (True, True)
    assert dict(lines(overview))["runs"].startswith("yes, as an encoder: embeddings, no answers")
    assert not json.loads(call("show", "--json").stdout)["overview"]["embeds"]
