"""`tokenize`, `detokenize`, `perplexity`, `bench` and `doctor` on real files."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from ostinato.cli import doctor
from ostinato.cli.output import bold, one_line, printable, size, table_lines, unfolded
from tests.cli.support import call, ostinato
from tests.support import BUILTIN


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


def test_detokenize_gives_the_bytes_back(data_dir: Path) -> None:
    path = str(data_dir / "vocab" / "ggml-vocab-llama-bpe.gguf")
    text = "Grüße, 東京! \x7f 🚀\n\n  end"
    ids = call("tokenize", path, text).stdout
    assert ostinato("detokenize", path, *ids.split()).stdout == text
    assert ostinato("detokenize", path, "-", stdin=f"[{', '.join(ids.split())}]".encode()).stdout == text
    assert json.loads(call("detokenize", path, "--json", "-", stdin=ids.encode()).stdout)["text"] == text


def test_detokenize_special_and_nonsense() -> None:
    ids = call("tokenize", str(BUILTIN), "a<|im_end|>", "--parse-special").stdout.split()
    assert call("detokenize", str(BUILTIN), *ids).stdout == "a<|im_end|>"
    assert call("detokenize", str(BUILTIN), "--skip-special", *ids).stdout == "a"
    for words, status in ((["12x"], 2), (["999999999"], 1), (["1" * 30], 2)):
        done = call("detokenize", str(BUILTIN), *words)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (status, "", 1)


def test_perplexity(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("What is the capital of France? The capital of France is Paris.\n" * 30)
    words = ("perplexity", str(BUILTIN), str(text), "--context", "64")
    done = call(*words)
    assert re.fullmatch(r"Final estimate: PPL = [\d.]+ \+/- [\d.]+", done.stdout.splitlines()[0])
    found = json.loads(call(*words, "--json", "--chunks", "2").stdout)
    assert (found["windows"], found["scored_tokens"]) == (2, 2 * 31)
    assert (
        call("perplexity", str(BUILTIN), "-", "--context", "64", stdin=text.read_bytes()).stdout[:30]
        == done.stdout[:30]
    )


def test_perplexity_of_too_little_text(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("short")
    assert "at least one window of 512" in call("perplexity", str(BUILTIN), str(text)).stderr
    assert call("perplexity", str(BUILTIN), str(text), "--context", "4").returncode == 2
    assert "missing.txt" in call("perplexity", str(BUILTIN), "missing.txt").stderr


def test_bench_json() -> None:
    words = ("bench", str(BUILTIN), "--backend", "null", "-p", "32", "-n", "4", "-b", "1,3", "-r", "1", "--json")
    report = json.loads(call(*words).stdout)
    assert report["model_sha256"] == hashlib.sha256(BUILTIN.read_bytes()).hexdigest()
    assert (report["backend"], report["unforeseen"]) == ("null", [])
    for field in (
        "load_seconds", "first_token_seconds", "prefill_tokens_per_second", "decode_tokens_per_second",
        "peak_memory_bytes",
    ):  # fmt: skip
        assert report[field] > 0
    assert [batch["batch"] for batch in report["batches"]] == [1, 3]


def test_doctor_tries_every_native_module() -> None:
    assert sorted(doctor.MODULES) == sorted(path.stem for path in Path(doctor.__file__).parents[1].glob("_*.pyi"))


def test_doctor() -> None:
    done = call("doctor", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == (0 if found["chosen"] else 1)
    assert {"reference", "null", "cpu"} <= {backend["name"] for backend in found["backends"]}
    assert all(backend["device"] or backend["not_chosen"] for backend in found["backends"])
    assert found["native"]["_tokenizer"] == "ok"
    assert found["machine"]["cores"] >= 1
    assert "reference" in call("doctor").stdout
    assert "could be pinned" in call("doctor").stdout


def test_nothing_drives_the_terminal() -> None:
    assert printable("a\x1b[31mb\tc\n") == "a\\x1b[31mb\tc\n"
    assert one_line("a\x9b\n\u202e") == "a\\x9b\\n\\u202e"
    assert printable("é😀👩‍👩‍👧 \u00a0") == "é😀👩‍👩‍👧 \u00a0"


def test_emphasis_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bold("a") == "a"
    monkeypatch.setattr("ostinato.cli.output.is_terminal", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert bold("a") == "\x1b[1ma\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert bold("a") == "a"


def test_size() -> None:
    assert [size(n) for n in (0, 999, 1000, 3_816_288, 10**13)] == ["0 B", "999 B", "1.0 kB", "3.8 MB", "10.0 TB"]


def test_long_texts_go_on_below_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("runs", "no: " + "a long reason " * 6), ("x", "")]
    assert unfolded(rows) == rows
    monkeypatch.setattr("ostinato.cli.output.is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    lines = list(table_lines(unfolded(rows)))
    assert len(lines) == 4
    assert all(len(line) <= 40 and "…" not in line for line in lines)
    assert " ".join(" ".join(lines).split()) == f"runs {' '.join(rows[0][1].split())} x"
