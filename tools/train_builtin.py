"""Train the built-in model on the generated corpus (CPU, seeded); `export_builtin.py` then writes the GGUF.

Writes into --out: vocab.json (tokens, merges), weights.npz (float32, GGUF names), training.json (the record).
Needs torch and tokenizers (development only). How the shipped model was made: tools/README.md.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import lru_cache
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional

from tools import corpus
from tools.tiny_llama import Shape, TinyLlama

SPECIAL = ("<|endoftext|>", corpus.START, corpus.END)
Document = tuple[list[int], list[bool]]  # token ids, and which of them the model is asked to predict
Keep = Callable[[dict[str, float]], None]  # saves what there is, with its figures


def digits_apart(model: models.BPE) -> Tokenizer:
    """Byte-level; digits stand alone, so that sums can be learned (`smollm` in GGUF)."""
    tokenizer = Tokenizer(model)
    digits, words = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, words])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def train_tokenizer(seed: int, vocab: int, count: int = 20000) -> Tokenizer:
    """BPE over `count` documents."""
    rng = random.Random(seed)
    texts = ["".join(text for text, _ in corpus.pieces(corpus.document(rng))) for _ in range(count)]
    tokenizer = digits_apart(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    # Role names come first, so that they are in the vocabulary whatever the corpus says.
    plain = (text.replace(corpus.START, "").replace(corpus.END, "") for text in texts)
    tokenizer.train_from_iterator(chain(["system user assistant\n"] * 1000, plain), trainer)
    return tokenizer


class Documents:
    """Endless rows of packed documents, as tokens."""

    def __init__(self, tokenizer: Tokenizer, seed: int) -> None:
        self.rng = random.Random(seed)
        self.encode = lru_cache(maxsize=100_000)(lambda text: tokenizer.encode(text).ids)

    def next(self, limit: int) -> Document:
        """One document, cut to `limit` tokens."""
        ids: list[int] = []
        asked: list[bool] = []
        for text, learned in corpus.pieces(corpus.document(self.rng)):
            found = self.encode(text)
            ids += found
            asked += [learned] * len(found)
        return ids[:limit], asked[:limit]

    def row(self, length: int) -> Iterator[Document]:
        """Documents that together fill one row, the last one cut."""
        room = length
        while room > 0:
            ids, asked = self.next(room)
            yield ids, asked
            room -= len(ids)


def batch(documents: Documents, rows: int, length: int) -> dict[str, torch.Tensor]:
    """A batch of packed rows: tokens, positions within the document, targets (-100: not asked), mask."""
    tokens, positions, owners, targets = (np.zeros((rows, length), np.int64) for _ in range(4))
    for r in range(rows):
        at = 0
        for number, (ids, asked) in enumerate(documents.row(length)):
            span = slice(at, at + len(ids))
            tokens[r, span], positions[r, span], owners[r, span] = ids, np.arange(len(ids)), number
            wanted = [t if ask else -100 for t, ask in zip(ids[1:], asked[1:], strict=True)]
            targets[r, span] = [*wanted, -100]
            at += len(ids)
    owner = torch.from_numpy(owners)
    same = owner[:, None, :, None] == owner[:, None, None, :]
    return {
        "tokens": torch.from_numpy(tokens),
        "positions": torch.from_numpy(positions),
        "targets": torch.from_numpy(targets),
        "mask": same & torch.ones(length, length, dtype=torch.bool).tril(),
    }


def losses(model: TinyLlama, data: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean cross entropy over the asked tokens, and how unevenly experts were chosen (1: even)."""
    hidden, imbalance = model(data["tokens"], data["positions"], data["mask"])
    wanted = data["targets"] >= 0
    return functional.cross_entropy(model.logits(hidden[wanted]), data["targets"][wanted]), imbalance


def train(model: TinyLlama, documents: Documents, options: argparse.Namespace, keep: Keep) -> dict[str, float]:
    """AdamW; warm-up over 50 steps, cosine decay to a fiftieth; the last tenth has rows four times as long."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.rate, betas=(0.9, 0.95), weight_decay=0.05, fused=True)
    started, tokens = time.monotonic(), 0
    smooth: list[float] = []
    outcome: dict[str, float] = {}
    for step in range(options.steps):
        progress = max(step / options.steps, (time.monotonic() - started) / (60 * options.minutes))
        if progress >= 1:
            break
        stretch = 4 if progress > 0.9 else 1
        rate = options.rate * min(1.0, (step + 1) / 50) * (0.02 + 0.49 * (1 + math.cos(math.pi * progress)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        data = batch(documents, options.rows // stretch, options.length * stretch)
        loss, imbalance = losses(model, data)
        optimizer.zero_grad(set_to_none=True)
        (loss + options.balance * imbalance).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        tokens += data["tokens"].numel()
        now = (loss.item(), imbalance.item())
        smooth = [0.98 * old + 0.02 * new for old, new in zip(smooth or now, now, strict=True)]
        outcome = {"steps": step + 1, "loss": smooth[0], "imbalance": smooth[1], "tokens": tokens}
        outcome["seconds"] = time.monotonic() - started
        if step % 50 == 0:
            print(" ".join(f"{key} {value:.4g}" for key, value in outcome.items()), flush=True)
        if (step + 1) % options.keep_every == 0:
            keep(outcome)
    return outcome


def held_out_loss(model: TinyLlama, documents: Documents, options: argparse.Namespace) -> float:
    """Mean loss on eight batches of documents of another seed."""
    batches = (batch(documents, options.rows, options.length) for _ in range(8))
    with torch.no_grad():
        return sum(float(losses(model, data)[0]) for data in batches) / 8


def save(folder: Path, model: TinyLlama, tokenizer: Tokenizer, record: dict[str, object]) -> None:
    """vocab.json, weights.npz and training.json into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    merges = [tuple(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
    tokens = [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())]
    (folder / "vocab.json").write_text(json.dumps({"tokens": tokens, "merges": merges, "special": SPECIAL}))
    np.savez(folder / "weights.npz", **{name: weight.numpy() for name, weight in model.gguf_tensors().items()})
    (folder / "training.json").write_text(json.dumps(record, indent=2) + "\n")


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a checkpoint."""
    found = json.loads((folder / "vocab.json").read_text())
    vocabulary = {token: number for number, token in enumerate(found["tokens"])}
    tokenizer = digits_apart(models.BPE(vocabulary, [(left, right) for left, right in found["merges"]]))
    tokenizer.add_special_tokens(found["special"])
    return tokenizer


def load_weights(folder: Path, model: TinyLlama) -> None:
    """The weights of a checkpoint, in place."""
    with np.load(folder / "weights.npz") as weights, torch.no_grad():
        for name, weight in model.gguf_tensors().items():
            weight.copy_(torch.from_numpy(weights[name]))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--begin", type=Path, help="folder of a checkpoint to go on from; it should read a new --stream"
    )
    parser.add_argument("--stream", type=int, default=1, help="which documents to read: seeded with seed + stream")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--minutes", type=float, default=600, help="end (and learn ever slower) by then if steps last")
    parser.add_argument("--rows", type=int, default=8, help="rows per step (a multiple of 4)")
    parser.add_argument("--length", type=int, default=256, help="tokens per row")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--balance", type=float, default=0.01, help="weight of the experts' imbalance in the loss")
    parser.add_argument("--keep-every", type=int, default=500, help="steps from one checkpoint to the next")
    parser.add_argument("--vocab", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("build/builtin"))
    return parser.parse_args()


def main() -> None:
    """Train the tokenizer and the model, and save both."""
    options = parse_arguments()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    tokenizer = load_tokenizer(options.begin) if options.begin else train_tokenizer(options.seed, options.vocab)
    shape = Shape(vocab=tokenizer.get_vocab_size())
    model = TinyLlama(shape)
    if options.begin:
        load_weights(options.begin, model)
    print(f"{sum(p.numel() for p in model.parameters())} parameters, vocabulary {shape.vocab}", flush=True)
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()}

    def keep(outcome: dict[str, float]) -> None:
        save(options.out, model, tokenizer, {"shape": asdict(shape), "settings": settings, "outcome": outcome})

    outcome = train(model, Documents(tokenizer, options.seed + options.stream), options, keep)
    outcome["held_out_loss"] = held_out_loss(model, Documents(tokenizer, options.seed - 1), options)
    keep(outcome)
    print(json.dumps(outcome))


if __name__ == "__main__":
    main()
