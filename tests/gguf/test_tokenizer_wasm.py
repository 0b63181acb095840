"""The tokenizer compiles to wasm32, and gives there what it gives here."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ostinato.gguf.reader import GGUFFile, open_gguf
from ostinato.gguf.tokenizer import Tokenizer
from ostinato.gguf.values import ArrayView
from tests.gguf.vocabularies import vocab_path
from tests.support import ROOT

TEXTS = ["Hello world", "", "ñandú 東京 👩‍👩‍👧 \n\n  x = 12345", "I'LL don't"]


def wasm_sysroot() -> Path:
    return Path(os.environ.get("WASI_SYSROOT", "/usr")) / "lib" / "wasm32-wasi"


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled module; needs clang, wasm-ld and wasi's C and C++ libraries."""
    missing = [tool for tool in (os.environ.get("CLANG", "clang++"), "wasm-ld") if shutil.which(tool) is None]
    missing += [name for name in ("libc.a", "libc++.a", "libc++abi.a") if not (wasm_sysroot() / name).is_file()]
    if missing:
        pytest.skip(
            f"no wasm32 toolchain: {', '.join(missing)} missing (Debian: clang lld wasi-libc libc++-dev-wasm32)"
        )
    out = tmp_path_factory.mktemp("wasm") / "tokenizer.wasm"
    subprocess.run([ROOT / "tools" / "tokenizer_wasm.sh", out], check=True, timeout=240)
    return out


def array(file: GGUFFile, key: str) -> dict[str, Any] | None:
    view = file.metadata.get(f"tokenizer.ggml.{key}")
    if not isinstance(view, ArrayView):
        return None
    return {"data": base64.b64encode(view.raw).decode(), "count": view.count}


def text(value: Any) -> dict[str, Any]:
    return {"data": base64.b64encode(str(value).encode()).decode(), "count": 1}


def request(file: GGUFFile) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "model": text(file.metadata["tokenizer.ggml.model"]),
        "pre": text(file.metadata["tokenizer.ggml.pre"]),
        "name": text(file.metadata["general.name"]),
        "architecture": text(file.metadata["general.architecture"]),
        "types": array(file, "token_type"),
    }
    metadata |= {key: array(file, key) for key in ("tokens", "merges", "scores", "charsmap")}
    ids = ("bos", "eos", "eot", "eom", "unknown", "separator")
    metadata |= {key: file.metadata.get(f"tokenizer.ggml.{key}_token_id", -1) for key in ids}
    metadata |= dict.fromkeys(("add_bos", "add_eos", "add_space_prefix"), -1)
    metadata |= dict.fromkeys(("remove_extra_whitespaces", "lowercase", "strip_accents"), -1)
    return {"metadata": metadata, "texts": TEXTS}


def run(module: Path, request: dict[str, Any]) -> dict[str, Any]:
    if shutil.which("node") is None:
        pytest.skip("node is missing")
    path = module.with_name("request.json")
    path.write_text(json.dumps(request))
    script = Path(__file__).with_name("tokenizer_wasm.mjs")
    done = subprocess.run(["node", script, module, path], check=True, timeout=120, stdout=subprocess.PIPE)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_it_compiles_to_a_module_that_imports_nothing(module: Path) -> None:
    binary = module.read_bytes()
    assert binary.startswith(b"\0asm")
    assert b"ot_encode" in binary
    assert b"wasi_snapshot_preview1" not in binary


@pytest.mark.parametrize("name", ["gpt-2", "llama-spm"])
def test_it_gives_the_same_answers_in_node(module: Path, name: str) -> None:
    path = vocab_path(name)
    with open_gguf(path) as file:
        answers = run(module, request(file))["answers"]
    here = Tokenizer.from_gguf(path)
    for text, answer in zip(TEXTS, answers, strict=True):
        assert answer["ids"] == here.encode(text)
        assert answer["text"] == text
        stream = here.stream()
        assert answer["pieces"] == [stream.push(id) for id in answer["ids"]] + [stream.flush()]


def test_it_says_there_too_what_is_wrong(module: Path) -> None:
    with open_gguf(vocab_path("gpt-2")) as file:
        bad = request(file)
    bad["metadata"]["pre"] = text("nonsense")
    assert "'nonsense' is not supported" in run(module, bad)["error"]
