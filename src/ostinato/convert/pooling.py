"""How a checkpoint's rows become one embedding, as sentence-transformers writes it down: modules.json lists what is
done one after the other (the model, the pooling, up to two products, a norm), each with a folder of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ostinato.convert.config import FILE, Config
from ostinato.convert.errors import ConvertError
from ostinato.convert.jsonfile import read_json, read_list
from ostinato.convert.safetensors import Source, open_checkpoint
from ostinato.model.pooling import PROJECTIONS

MODULES = "modules.json"
_TYPES = {"mean": 1, "cls": 2, "lasttoken": 3}  # gguf.PoolingType
_OLDER = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token", "lasttoken": "pooling_mode_lasttoken"}
_KINDS = ("Transformer", "Pooling", "Dense", "Normalize")
# What a GGUF file means. Nothing is written of the last: embeddings leave here as they are, not normalised.
_ORDER = re.compile("(Transformer )?(Pooling )?(Dense )*(Normalize )?")


@dataclass(frozen=True)
class Pooling:
    """GGUF's `pooling_type`, None where the checkpoint does not say, and the products by GGUF's names."""

    type: int | None = None
    dense: Mapping[str, Source] = field(default_factory=dict)

    def metadata(self, architecture: str) -> dict[str, int]:
        """What the file says of them."""
        found = {} if self.type is None else {f"{architecture}.pooling_type": self.type}
        for name, source in self.dense.items():
            found[f"{architecture}.{name.removesuffix('.weight')}_feat_out"] = source.shape[0]
            found[f"{architecture}.{name.removesuffix('.weight')}_feat_in"] = source.shape[1]
        return found


def read_pooling(folder: Path) -> Pooling:
    """ConvertError for a pooling or a module that GGUF cannot say."""
    if not (folder / MODULES).exists():
        return Pooling()
    modules = [_module(folder, entry) for entry in read_list(folder / MODULES)]
    _check_order(folder, [kind for kind, _ in modules])
    poolings = [_read(_inside(folder, path) / FILE) for kind, path in modules if kind == "Pooling"]
    dense = [_inside(folder, path) for kind, path in modules if kind == "Dense"]
    return Pooling(poolings[0] if poolings else None, _dense(folder, dense))


def _module(folder: Path, entry: object) -> tuple[str, str]:
    """Kind and path of an entry."""
    if not isinstance(entry, dict):
        raise ConvertError(f"{folder / MODULES}: {entry!r:.80} is no module; expected an object with type and path")
    kind = str(entry.get("type")).rpartition(".")[2]
    if kind not in _KINDS:
        raise ConvertError(f"{folder / MODULES}: a module of type {kind!r:.80}, which a GGUF file cannot hold")
    return kind, str(entry.get("path"))


def _check_order(folder: Path, kinds: Sequence[str]) -> None:
    if not _ORDER.fullmatch("".join(f"{kind} " for kind in kinds)):
        raise ConvertError(
            f"{folder / MODULES}: {', '.join(kinds):.200} one after the other; a GGUF file holds at most one of each, "
            f"Dense apart, in the order {', '.join(_KINDS)}"
        )


def _dense(folder: Path, modules: Sequence[Path]) -> dict[str, Source]:
    if len(modules) > len(PROJECTIONS):
        raise ConvertError(f"{folder / MODULES}: {len(modules)} Dense modules; a GGUF file holds {len(PROJECTIONS)}")
    return {f"{name}.weight": _product(module) for name, module in zip(PROJECTIONS, modules, strict=False)}


def _product(module: Path) -> Source:
    """The matrix of a Dense module, which must be no more than that."""
    config = Config(read_json(module / FILE), str(module / FILE))
    activation = config.text("activation_function", default="Tanh").rpartition(".")[2]
    tensors = open_checkpoint(module)
    if activation != "Identity" or set(tensors) != {"linear.weight"} or len(tensors["linear.weight"].shape) != 2:
        raise ConvertError(
            f"{module}: a Dense module with {activation!r:.40} and tensors {', '.join(sorted(tensors)):.200}; a GGUF "
            "file holds a matrix 'linear.weight' and nothing else"
        )
    return tensors["linear.weight"]


def _inside(folder: Path, path: str) -> Path:
    """A module's folder, which lies in the checkpoint's."""
    if not path or Path(path).name != path or path == "..":
        raise ConvertError(f"{folder / MODULES}: {path!r:.80} is not the name of a folder in the checkpoint")
    return folder / path


def _read(path: Path) -> int:
    config = Config(read_json(path), str(path))
    modes = [mode for mode, name in _OLDER.items() if config.flag(name, default=False)]
    mode = config.text("pooling_mode", default=modes[0] if len(modes) == 1 else " and ".join(modes))
    if mode not in _TYPES:
        raise ConvertError(f"{path}: pooling {mode!r:.40} is not known; known: {', '.join(_TYPES)}")
    return _TYPES[mode]
