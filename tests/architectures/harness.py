"""Compares an architecture with `transformers`: a small random model, converted, against the original's logits.

A quantised file is compared with `transformers` on the very values that the file holds: element indices, pushed
through the conversion in place of the weights, say which element of the checkpoint every element of the file is, so
that dequantised values can be put back there. What is measured is the engine's arithmetic, not the quantisation.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ostinato.backends.batch import Batch, Enter, Span, TableEdit
from ostinato.backends.batch_table import Kind
from ostinato.backends.reference import ReferenceBackend
from ostinato.backends.sampling import Sampling
from ostinato.convert import Plan, plan, write
from ostinato.convert.safetensors import Source
from ostinato.engine.loading import MIN_CONTEXT, Opened, Options, open_model
from ostinato.gguf.reader import open_gguf
from ostinato.gguf.types_table import TensorType
from tests.architectures.requantize import dequantized, requantize
from tests.architectures.zoo import CONTEXT, VOCAB, ZOO, Animal
from tests.backends.machines import machine

SEED = 20
WHOLE = CONTEXT  # chunk: the whole prompt at once
STREAM = 0  # chunk: token by token, as rows that were generated once
SAFETENSORS = "model.safetensors"


@dataclass(frozen=True)
class Figures:
    """Ours beside theirs: sum of squared differences over sum of squares, the same of the worst row, and the share of
    rows with the same best token."""

    nmse: float
    worst: float
    top1: float


def compare(ours: np.ndarray, theirs: np.ndarray) -> Figures:
    """Both float32 [T, vocab]."""
    squares = ((ours.astype(np.float64) - theirs) ** 2).sum(axis=1)
    sizes = (theirs.astype(np.float64) ** 2).sum(axis=1)
    same = ours.argmax(axis=1) == theirs.argmax(axis=1)
    return Figures(float(squares.sum() / sizes.sum()), float((squares / sizes).max()), float(same.mean()))


def prompt(length: int) -> list[int]:
    """The first tokens of one random text."""
    return np.random.default_rng(SEED).integers(3, VOCAB, length).tolist()


class Specimen:
    """A model of `transformers` beside its checkpoint and the files converted from it."""

    def __init__(self, animal: Animal, folder: Path) -> None:
        self._animal, self._folder = animal, folder
        self.checkpoint = folder / "hf"
        model = build(animal)
        model.save_pretrained(self.checkpoint)
        if animal.pooling:
            write_pooling(self.checkpoint, animal.pooling)
        self._models = {"F32": model}
        self._files: dict[str, Path] = {}
        self._theirs: dict[tuple[str, int], np.ndarray] = {}

    def plan(self) -> Plan:
        return plan(self.checkpoint, "F32", tokenizer=False)

    def file(self, type: str) -> Path:
        """The GGUF file of this type."""
        if type not in self._files:
            path = self._folder / f"{type}.gguf"
            if type == "F32":
                write(self.plan(), path)
            else:
                requantize(self.file("F32"), path, TensorType[type])
            self._files[type] = path
        return self._files[type]

    def theirs(self, type: str, tokens: Sequence[int]) -> np.ndarray:
        """Float32 [T, vocab] by transformers, computed with the values that the file of this type holds."""
        import torch

        key = type, len(tokens)
        if key not in self._theirs:
            options = {} if self._animal.pooling else {"use_cache": False}
            with torch.no_grad():
                made = self._model(type)(torch.tensor([list(tokens)]), **options)
            rows = pooled(made.last_hidden_state, self._animal.pooling) if self._animal.pooling else made.logits
            self._theirs[key] = rows[0].float().numpy()
        return self._theirs[key]

    def ours(self, type: str, tokens: Sequence[int], backend: str, chunk: int) -> np.ndarray:
        """Float32 [T, vocab] by a backend, the prompt fed in chunks. No more positions are served than needed: more
        would choose the other factors of long-rope."""
        context = max(len(tokens), MIN_CONTEXT)
        options = Options(
            backend="reference", context=context, threads=1, max_sequences=1, max_rows=CONTEXT, max_logit_rows=CONTEXT,
            embed=bool(self._animal.pooling),
        )  # fmt: skip
        opened = open_model(self.file(type), options)
        try:
            return run_logits(opened, backend, tokens, chunk)
        finally:
            opened.file.close()

    def _model(self, type: str) -> Any:
        """The model with the values of the file of this type."""
        if type not in self._models:
            from safetensors.numpy import save_file

            folder = self._folder / f"hf-{type}"
            shutil.copytree(self.checkpoint, folder)
            save_file(self._put_back(type), folder / SAFETENSORS, metadata={"format": "pt"})
            loaded = _builder(self._animal).from_pretrained(folder, attn_implementation="eager", dtype="float32")
            self._models[type] = loaded.eval()
        return self._models[type]

    def _put_back(self, type: str) -> dict[str, np.ndarray]:
        """The checkpoint's tensors, those that the file quantises with its values."""
        made = self.plan()
        values: dict[str, np.ndarray] = {}
        with open_gguf(self.file(type)) as file:
            for planned in made.tensors:
                stored = dequantized(file.tensors[planned.name])
                stored = stored.reshape(len(planned.parts), -1)
                for index, sources in enumerate(planned.parts):
                    for source in sources:
                        values.setdefault(source.name, source.array().astype(np.float32).copy())
                    if file.tensors[planned.name].type is not TensorType.F32:
                        where = planned.part(index, _element_indices)
                        (source,) = sources
                        values[source.name].reshape(-1)[where.reshape(-1)] = stored[index]
        return values


def _element_indices(source: Source) -> np.ndarray:
    return np.arange(np.prod(source.shape, dtype=np.int64)).reshape(source.shape)


@cache
def specimen(name: str) -> Specimen:
    """The model called `name` in the zoo, built once in a process; skips where transformers cannot build it."""
    pytest.importorskip("torch", reason="torch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    if not hasattr(transformers, ZOO[name].config):
        pytest.skip(f"transformers {transformers.__version__} has no {ZOO[name].config}")
    return Specimen(ZOO[name], Path(tempfile.mkdtemp(prefix=f"ostinato-{name}-", dir=_home())))


@cache
def _home() -> str:
    """A folder that goes away with the process."""
    folder = tempfile.TemporaryDirectory(prefix="ostinato-zoo-")
    _kept.append(folder)
    return folder.name


_kept: list[tempfile.TemporaryDirectory[str]] = []


def write_pooling(folder: Path, pooling: str, dense: Sequence[np.ndarray] = (), activation: str = "Identity") -> None:
    """What sentence-transformers writes beside a model; `dense`: matrices of products after the pooling."""
    from safetensors.numpy import save_file

    kinds = {"": "Transformer", "1_Pooling": "Pooling"} | {f"{2 + i}_Dense": "Dense" for i in range(len(dense))}
    modules = [{"type": f"sentence_transformers.models.{kind}", "path": path} for path, kind in kinds.items()]
    (folder / "modules.json").write_text(json.dumps(modules))
    for i, matrix in enumerate(dense):
        module = folder / f"{2 + i}_Dense"
        module.mkdir()
        save_file({"linear.weight": matrix}, module / "model.safetensors")
        config = {"activation_function": f"torch.nn.modules.linear.{activation}", "bias": False}
        (module / "config.json").write_text(json.dumps(config))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": pooling}))


def pooled(rows: Any, pooling: str) -> Any:
    """A tensor [1, T, width] -> [1, 1, width]."""
    first, last = {"mean": (0, rows.shape[1]), "cls": (0, 1), "lasttoken": (rows.shape[1] - 1, rows.shape[1])}[pooling]
    return rows[:, first:last].mean(dim=1, keepdim=True)


def _builder(animal: Animal) -> Any:
    """What makes the model of a configuration."""
    import transformers

    if animal.pooling:
        return transformers.AutoModel
    if animal.model:
        classes = getattr(transformers, animal.config), getattr(transformers, animal.model)
        transformers.AutoModelForCausalLM.register(*classes, exist_ok=True)
    return transformers.AutoModelForCausalLM


def build(animal: Animal) -> Any:
    """The model, its weights random and far from their initial values, which hide mistakes (gains of 1, biases of
    0)."""
    import torch
    import transformers

    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    config = getattr(transformers, animal.config)(**animal.arguments)
    model = _builder(animal).from_config(config, attn_implementation="eager").float().eval()
    stored = model.state_dict().keys()
    learned = [item for item in model.named_buffers() if item[0] in stored and item[1].is_floating_point()]
    with torch.no_grad():
        for name, values in [*model.named_parameters(), *learned]:
            noise = torch.randn_like(values)
            if values.ndim == 1:
                values.add_(noise * 0.2)
            else:
                values.copy_(noise if "embed" in name else noise * 1.5 / values.shape[-1] ** 0.5)
    return model


def run_logits(opened: Opened, backend: str, tokens: Sequence[int], chunk: int) -> np.ndarray:
    """Float32 [T, vocab] of an opened model on a backend; [1, width] of one that embeds, in one step."""
    embeds = opened.programs.embeds
    chunk = len(tokens) if embeds else chunk
    made = ReferenceBackend() if backend == "reference" else machine(backend)
    executable = made.compile(opened.programs, opened.file.tensors, opened.plan)
    kind, step = (Kind.PROMPT, chunk) if chunk else (Kind.GENERATED, 1)
    blocks = range(opened.plan.blocks_per_sequence)
    enters = [Enter(0, len(tokens) if chunk else 0, Sampling(temperature=0))]
    tables = [TableEdit(cache, 0, 0, blocks) for cache in range(len(opened.programs.caches))]
    parts = []
    try:
        for start in range(0, len(tokens), step):
            piece = tokens[start : start + step]
            span = Span(0, kind, start, piece, logit_rows=1 if embeds else len(piece))
            executable.submit(Batch([span], enters, tables, want_logits=True))
            parts.append(executable.collect().outputs["embedding" if embeds else "logits"].copy())
            enters, tables = [], []
    finally:
        executable.close()
    return np.concatenate(parts)
