"""How a checkpoint's rows become one embedding, as sentence-transformers writes it down: modules.json lists what is
done one after the other; the pooling has a folder with a config.json."""

from __future__ import annotations

from pathlib import Path

from ostinato.convert.config import FILE, Config
from ostinato.convert.errors import ConvertError
from ostinato.convert.jsonfile import read_json, read_list

MODULES = "modules.json"
_TYPES = {"mean": 1, "cls": 2, "lasttoken": 3}  # gguf.PoolingType
_OLDER = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token", "lasttoken": "pooling_mode_lasttoken"}


def read_pooling(folder: Path) -> int | None:
    """GGUF's `pooling_type`; None where the checkpoint does not say. ConvertError for another one."""
    if not (folder / MODULES).exists():
        return None
    for module in read_list(folder / MODULES):
        if isinstance(module, dict) and str(module.get("type")).endswith("Pooling"):
            return _read(_inside(folder, str(module.get("path"))) / FILE)
    return None


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
