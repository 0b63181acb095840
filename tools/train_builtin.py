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
from collections.abc import Iterator
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional

from tools import corpus
from tools.tiny_llama import Shape, TinyLlama

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
START, END = 1, 2
Document = tuple[list[int], list[bool]]  # token ids, and which of them the model is asked to predict


def train_tokenizer(seed: int, vocab: int, conversations: int = 20000) -> Tokenizer:
    """Byte-level BPE with GPT-2's pre-tokenizer over `conversations` conversations."""
    rng = random.Random(seed)
    talks = (corpus.conversation(rng) for _ in range(conversations))
    text = (" ".join([talk.system, *(f"{user}\n{answer}" for user, answer in talk.turns)]) for talk in talks)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    # Role names come first, so that they are in the vocabulary whatever the corpus says.
    tokenizer.train_from_iterator(["system user assistant\n"] * 1000 + list(text), trainer)
    return tokenizer


class Documents:
    """Endless rows of packed documents: conversations in the chat template's format, and bare stories."""

    def __init__(self, tokenizer: Tokenizer, seed: int) -> None:
        self.rng = random.Random(seed)
        self.encode = lru_cache(maxsize=100_000)(lambda text: tokenizer.encode(text).ids)

    def next(self, limit: int) -> Document:
        """One document of at most `limit` tokens; conversations lose their last turns to fit."""
        if self.rng.random() < 0.05:
            ids = [*self.encode(corpus.story(self.rng)), END]
            return ids[:limit], [True] * min(len(ids), limit)
        talk = corpus.conversation(self.rng, many_turns=self.rng.random() < 0.03)
        ids, asked = self._message("system", talk.system, False) if talk.system else ([], [])
        for user, answer in talk.turns:
            turn, wanted = self._message("user", user, False)
            reply, predicted = self._message("assistant", answer, True)
            if len(ids) + len(turn) + len(reply) > limit:
                break
            ids, asked = ids + turn + reply, asked + wanted + predicted
        return ids, asked

    def _message(self, role: str, text: str, predicted: bool) -> Document:
        head = [START, *self.encode(role + "\n")]
        body = [*self.encode(text), END]
        newline = self.encode("\n")
        ids = [*head, *body, *newline]
        return ids, [False] * len(head) + [predicted] * len(body) + [False] * len(newline)

    def row(self, length: int) -> Iterator[Document]:
        """Documents that together fill one row, the last one cut."""
        room = length
        while room > 0:
            ids, asked = self.next(length)
            if ids:
                yield ids[:room], asked[:room]
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


def loss_of(model: TinyLlama, data: dict[str, torch.Tensor]) -> torch.Tensor:
    """Mean cross entropy over the asked tokens."""
    hidden = model(data["tokens"], data["positions"], data["mask"])
    wanted = data["targets"] >= 0
    return functional.cross_entropy(model.logits(hidden[wanted]).float(), data["targets"][wanted])


def train(model: TinyLlama, documents: Documents, options: argparse.Namespace) -> dict[str, float]:
    """AdamW; warm-up over 50 steps, cosine decay to a fiftieth; the last tenth has rows twice as long."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.rate, betas=(0.9, 0.95), weight_decay=0.05)
    started, smooth, tokens = time.monotonic(), math.nan, 0
    for step in range(options.steps):
        progress = step / options.steps
        long = progress > 0.9
        rate = options.rate * min(1.0, (step + 1) / 50) * (0.02 + 0.49 * (1 + math.cos(math.pi * progress)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        data = batch(documents, options.rows // (2 if long else 1), options.length * (2 if long else 1))
        loss = loss_of(model, data)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        tokens += data["tokens"].numel()
        smooth = loss.item() if math.isnan(smooth) else 0.98 * smooth + 0.02 * loss.item()
        if step % 50 == 0 or step == options.steps - 1:
            print(f"step {step:5d}  loss {smooth:.4f}  {time.monotonic() - started:6.0f} s", flush=True)
    return {"loss": smooth, "tokens": tokens, "seconds": time.monotonic() - started}


def held_out_loss(model: TinyLlama, documents: Documents, options: argparse.Namespace) -> float:
    """Mean loss on eight batches of conversations of another seed."""
    batches = (batch(documents, options.rows, options.length) for _ in range(8))
    with torch.no_grad():
        return sum(float(loss_of(model, data)) for data in batches) / 8


def save(folder: Path, model: TinyLlama, tokenizer: Tokenizer, record: dict[str, object]) -> None:
    """vocab.json, weights.npz and training.json into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    merges = [tuple(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
    tokens = [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())]
    (folder / "vocab.json").write_text(json.dumps({"tokens": tokens, "merges": merges, "special": SPECIAL}))
    np.savez(folder / "weights.npz", **{name: weight.numpy() for name, weight in model.state_dict().items()})
    (folder / "training.json").write_text(json.dumps(record, indent=2) + "\n")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rows", type=int, default=4, help="rows per step")
    parser.add_argument("--length", type=int, default=512, help="tokens per row")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--vocab", type=int, default=1536)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("build/builtin"))
    return parser.parse_args()


def main() -> None:
    """Train the tokenizer and the model, and save both."""
    options = parse_arguments()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    tokenizer = train_tokenizer(options.seed, options.vocab)
    shape = Shape(vocab=tokenizer.get_vocab_size())
    model = TinyLlama(shape)
    print(f"{sum(p.numel() for p in model.parameters())} parameters, vocabulary {shape.vocab}", flush=True)
    outcome = train(model, Documents(tokenizer, options.seed + 1), options)
    outcome["held_out_loss"] = held_out_loss(model, Documents(tokenizer, options.seed + 2), options)
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()}
    save(options.out, model, tokenizer, {"shape": asdict(shape), "settings": settings, "outcome": outcome})
    print(json.dumps(outcome))


if __name__ == "__main__":
    main()
