"""`show`, `tokenize`, `bench` and `doctor` on real files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from ostinato.cli.output import one_line, printable, size
from tests.cli.support import call
from tests.support import BUILTIN


def test_show() -> None:
    done = call("show", str(BUILTIN))
    assert done.stdout.startswith("Ostinato tiny\n")
    for words in ("architecture", "llama", "tokenizer.ggml.tokens", "1536 x string"):
        assert words in done.stdout


def test_show_json() -> None:
    found = json.loads(call("show", str(BUILTIN), "--json", "--tensors", "--program").stdout)
    assert found["metadata"]["general.architecture"] == "llama"
    assert found["metadata"]["tokenizer.ggml.tokens"] == {"array_of": "string", "length": 1536}
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
    path = str(data_dir / "vocab" / "ggml-vocab-gpt-2.gguf")
    assert "runs     no: " in call("show", path).stdout
    done = call("show", path, "--program")
    assert done.returncode == 1
    assert "gpt2" in done.stderr


def test_show_of_hostile_files_is_one_line(data_dir: Path) -> None:
    rejected = sorted((data_dir / "hostile-gguf").glob("*.reject.gguf"))[:4]
    assert rejected
    for path in rejected:
        done = call("show", str(path))
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert str(path) in done.stderr


@pytest.mark.parametrize("name", ["llama-spm", "llama-bpe"])
def test_tokenize_standard_input_as_it_is(data_dir: Path, name: str) -> None:
    path = data_dir / "vocab" / f"ggml-vocab-{name}.gguf"
    texts = Path(f"{path}.inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
    expected = Path(f"{path}.out").read_text().splitlines()
    for text, ids in list(zip(texts, expected, strict=False))[3:30:9]:
        assert call("tokenize", str(path), "-", stdin=text.encode()).stdout.split() == ids.split()
    assert call("tokenize", str(path), texts[20]).stdout.split() == expected[20].split()


def test_tokenize_json_and_special() -> None:
    plain = json.loads(call("tokenize", str(BUILTIN), "a<|im_end|>", "--json").stdout)
    special = json.loads(call("tokenize", str(BUILTIN), "a<|im_end|>", "--json", "--parse-special").stdout)
    assert "".join(plain["pieces"]) == "a<|im_end|>"
    assert len(special["ids"]) == 2
    assert len(plain["ids"]) > 2


def test_bench_json() -> None:
    words = ("bench", str(BUILTIN), "--backend", "null", "-p", "32", "-n", "4", "-b", "1,3", "-r", "1", "--json")
    report = json.loads(call(*words).stdout)
    assert report["model_sha256"] == hashlib.sha256(BUILTIN.read_bytes()).hexdigest()
    assert report["backend"] == "null"
    for field in (
        "load_seconds", "first_token_seconds", "prefill_tokens_per_second", "decode_tokens_per_second",
        "peak_memory_bytes",
    ):  # fmt: skip
        assert report[field] > 0
    assert [batch["batch"] for batch in report["batches"]] == [1, 3]


def test_doctor() -> None:
    done = call("doctor", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == (0 if found["chosen"] else 1)
    assert {"reference", "null", "cpu"} <= {backend["name"] for backend in found["backends"]}
    assert all(backend["device"] or backend["not_chosen"] for backend in found["backends"])
    assert found["native"]["_tokenizer"] == "ok"
    assert found["machine"]["cores"] >= 1
    assert "reference" in call("doctor").stdout


def test_nothing_drives_the_terminal() -> None:
    assert printable("a\x1b[31mb\tc\n") == "a\\x1b[31mb\tc\n"
    assert one_line("a\x9b\n\u202e") == "a\\x9b\\n\\u202e"
    assert printable("é😀👩‍👩‍👧 \u00a0") == "é😀👩‍👩‍👧 \u00a0"


def test_size() -> None:
    assert [size(n) for n in (0, 999, 1000, 3_816_288, 10**13)] == ["0 B", "999 B", "1.0 kB", "3.8 MB", "10.0 TB"]
