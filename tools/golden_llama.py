"""Golden logits of llama.cpp for small files, so that our arithmetic is checked against somebody else's.

Run by an interpreter that has llama-cpp-python, numpy and gguf-reading parts of this project on its path:

    python -m tools.golden_llama            writes tests/golden/*.npz

Every archive holds: `tokens` int32 [T]; `positions` int32 [P], where logits were kept; `logits` float32 [P, vocab], the
row that predicts the token after each position; `about`, a JSON string with the recipe of the file, the digest of
its stored weights, llama.cpp's version and the command.

llama.cpp rounds activations to 8 bits before multiplying with quantised weights, and its F16 path rounds activations
to F16, so only F32 files are compared tightly; the others say how far apart two honest engines may be.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from bench.peer import version
from tools.export_builtin import SHIPPED
from tools.tiny_models import weights_digest, write_tiny_model

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "golden"
KEPT = 12  # positions whose logits go into an archive
COMMAND = "python -m tools.golden_llama"
CHAT = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"


@dataclass(frozen=True)
class Recipe:
    """A tiny random file: what `write_tiny_model` makes of it."""

    moe: bool
    type: str

    @property
    def seed(self) -> int:
        """With experts, of four hundred tried the one with the clearest routes: rounding must send no row elsewhere."""
        return 385 if self.moe else 0

    @property
    def tokens(self) -> int:
        return 16 if self.moe else 64

    @property
    def stem(self) -> str:
        return f"tiny-{'moe' if self.moe else 'dense'}-{self.type.lower()}"


RECIPES = tuple(Recipe(moe, type) for moe in (False, True) for type in ("F32", "F16", "Q8_0", "Q4_K_M"))


def peer_logits(path: Path, tokens: list[int]) -> NDArray[np.float32]:
    """Logits [T, vocab] of all positions: one prompt, F32 KV cache, no flash attention, one thread."""
    model = llama_cpp.Llama(
        str(path),
        n_ctx=512,
        n_threads=1,
        n_threads_batch=1,
        logits_all=True,
        flash_attn=False,
        type_k=llama_cpp.GGML_TYPE_F32,
        type_v=llama_cpp.GGML_TYPE_F32,
        verbose=False,
    )
    model.eval(tokens)
    return np.array(model.scores[: len(tokens)], np.float32)


def random_tokens(vocab: int, count: int) -> list[int]:
    """The beginning-of-text token, then seeded random ones beyond the specials."""
    return [1, *np.random.default_rng(1).integers(3, vocab, count - 1).tolist()]


def cases(folder: Path) -> Iterator[tuple[str, Path, list[int], dict[str, object]]]:
    """Name, file, prompt and recipe of every golden archive; files are made in `folder`."""
    for recipe in RECIPES:
        path = folder / f"{recipe.stem}.gguf"
        shape = write_tiny_model(path, recipe.moe, recipe.type, recipe.seed)
        about: dict[str, object] = {"moe": recipe.moe, "type": recipe.type, "seed": recipe.seed}
        yield recipe.stem, path, random_tokens(shape.vocab, recipe.tokens), about
    tokenizer = llama_cpp.Llama(str(SHIPPED), vocab_only=True, verbose=False)
    prompt = tokenizer.tokenize(CHAT.encode(), add_bos=False, special=True)
    yield "builtin", SHIPPED, prompt, {"file": SHIPPED.name, "prompt": CHAT}


def main() -> None:
    """Write every archive."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for name, path, tokens, about in cases(Path(scratch)):
            logits = peer_logits(path, tokens)
            positions = np.linspace(0, len(tokens) - 1, min(KEPT, len(tokens))).astype(np.int32)
            about |= {"weights_sha256": weights_digest(path), "peer": version(), "command": COMMAND}
            np.savez_compressed(
                out / f"{name}.npz",
                tokens=np.array(tokens, np.int32),
                positions=positions,
                logits=logits[positions],
                about=np.array(json.dumps(about)),
            )
            print(name, len(tokens), "tokens, logits' standard deviation", float(logits.std()))


if __name__ == "__main__":
    main()
