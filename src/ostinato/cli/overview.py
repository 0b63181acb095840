"""What a model file is, in a dozen lines: from its metadata and tensors, so that files we cannot run are told too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from ostinato.cli.output import size

if TYPE_CHECKING:
    from ostinato.backends.contract import KVType
    from ostinato.gguf.reader import GGUFFile
    from ostinato.model.spec import ModelSpec
    from ostinato.program.ir import Programs

CONTEXTS = (4096, 32768)  # positions that memory is told for
SHOWN_TYPES = 3
MAX_LAYERS = 4096  # more numbers than that are not one for each layer


@dataclass(frozen=True)
class Meaning:
    """What could be made of the file. `reason`: why it does not run."""

    spec: ModelSpec | None
    programs: Programs | None
    reason: str = ""

    @classmethod
    def of(cls, file: GGUFFile) -> Meaning:
        from ostinato.model.architectures import read_spec
        from ostinato.program.compile import compile_model

        spec = None
        try:
            spec = read_spec(file)
            return cls(spec, compile_model(spec, file.tensors))
        except ValueError as error:
            return cls(spec, None, str(error))


def title(file: GGUFFile) -> str:
    """The model's name, or the file's."""
    name = file.metadata.get("general.name")
    return name if isinstance(name, str) and name else file.path.name


def facts(file: GGUFFile, meaning: Meaning, kv_type: KVType | None = None) -> dict[str, Any]:
    """As JSON values; what a file does not say is left out. `kv_type` None: chosen by the file."""
    found = {
        **_described(_Keys(file.metadata)),
        **_measured(file),
        "runs": meaning.programs is not None,
        "embeds": meaning.programs is not None and meaning.programs.embeds,
        "reason": meaning.reason or None,
        "memory": memory(file, meaning, kv_type),
        "expert_bytes": _expert_bytes(file, meaning),
    }
    return {key: value for key, value in found.items() if value is not None}


def _described(keys: _Keys) -> dict[str, Any]:
    """What the metadata say."""
    return {
        "architecture": keys.text("general.architecture"),
        "context": keys.own("context_length"),
        "layers": keys.own("block_count"),
        "width": keys.own("embedding_length"),
        "heads": keys.own("attention.head_count"),
        "kv_heads": keys.own("attention.head_count_kv"),
        "experts": keys.own("expert_count"),
        "experts_used": keys.own("expert_used_count"),
        "vocabulary": keys.length("tokenizer.ggml.tokens"),
        "tokenizer": keys.text("tokenizer.ggml.model"),
        "pre_tokenizer": keys.text("tokenizer.ggml.pre"),
        "chat_template": keys.text("tokenizer.chat_template") is not None,
        "licence": keys.text("general.license"),
    }


def _measured(file: GGUFFile) -> dict[str, Any]:
    """What the tensors are."""
    tensors = list(file.tensors.values())
    elements = sum(prod(tensor.shape) for tensor in tensors)
    total = sum(tensor.nbytes for tensor in tensors)
    return {
        "format": f"GGUF v{file.version}",
        "files": len(file.parts),
        "tensors": len(tensors),
        "tensor_bytes": total,
        "parameters": elements,
        "quantisation": _shares(file),
        "bits_per_weight": 8 * total / elements if elements else None,
    }


def memory(file: GGUFFile, meaning: Meaning, kv_type: KVType | None = None) -> list[dict[str, int]]:
    """Bytes for one sequence at each context that the model can have: weights, keys and values, recurrent state."""
    if meaning.spec is None or meaning.programs is None:
        return []
    from ostinato.engine.loading import kv_type_of

    kv_type = kv_type or kv_type_of(file)
    weights = sum(tensor.nbytes for tensor in file.tensors.values())
    state = sum(4 * group.layers * group.elements for group in meaning.programs.states)
    contexts = [context for context in CONTEXTS if context <= meaning.spec.context] or [meaning.spec.context]
    rows = []
    for context in contexts:
        kv = sum(kv_type.bytes(group.elements(context)) for group in meaning.programs.caches)
        rows.append({"context": context, "weights": weights, "kv": kv, "state": state, "total": weights + kv + state})
    return rows


def _expert_bytes(file: GGUFFile, meaning: Meaning) -> int | None:
    """Of the weights, those that a budget need not hold: the experts of a mixture."""
    if meaning.programs is None:
        return None
    from ostinato.memory.parcels import expert_stacks
    from ostinato.model.weights import resolve

    stacks = expert_stacks(meaning.programs, file.tensors)
    own = sum(
        resolve(weight, file.tensors).nbytes for stack in stacks for weight in stack.weights if weight is not None
    )
    return own or None


def lines(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The same for people: (what, how much)."""
    rows = [
        ("architecture", found.get("architecture", "?")),
        ("parameters", _count(found["parameters"]) if found["parameters"] else "none"),
        ("quantisation", _quantisation(found)),
        ("context", _with("{:,} tokens", found.get("context"))),
        ("layers", _layers(found)),
        ("heads", _heads(found)),
        ("experts", _experts(found)),
        ("vocabulary", _vocabulary(found)),
        ("chat template", "yes" if found["chat_template"] else "no"),
        ("licence", found.get("licence", "not said")),
        ("file", _file(found)),
        *(("memory", _memory(row)) for row in found["memory"]),
        ("budgets", _budget(found)),
        ("runs", _runs(found)),
    ]
    return [(name, text) for name, text in rows if text]


class _Keys:
    """Metadata by kind: a value of another kind than expected is as good as none."""

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        self._metadata = metadata
        self._prefix = self.text("general.architecture") or ""

    def text(self, key: str) -> str | None:
        value = self._metadata.get(key)
        return value if isinstance(value, str) else None

    def own(self, key: str) -> int | list[int] | None:
        """A number of the architecture's own, or one for each layer."""
        from ostinato.gguf.values import ArrayView

        value = self._metadata.get(f"{self._prefix}.{key}")
        if isinstance(value, ArrayView):
            numbers = [number for number in value if type(number) is int] if len(value) <= MAX_LAYERS else []
            return numbers or None
        return value if type(value) is int else None

    def length(self, key: str) -> int | None:
        from ostinato.gguf.values import ArrayView

        value = self._metadata.get(key)
        return len(value) if isinstance(value, ArrayView) else None


def _shares(file: GGUFFile) -> dict[str, float]:
    """Type -> its share of the weights, largest first."""
    counts: Counter[str] = Counter()
    for tensor in file.tensors.values():
        counts[tensor.type.name] += prod(tensor.shape)
    total = sum(counts.values())
    return {name: count / total for name, count in counts.most_common()} if total else {}


def _quantisation(found: Mapping[str, Any]) -> str:
    shares: Mapping[str, float] = found["quantisation"]
    names = [f"{name} {_percent(share)}" for name, share in list(shares.items())[:SHOWN_TYPES]]
    more = f", {len(shares) - SHOWN_TYPES} more" if len(shares) > SHOWN_TYPES else ""
    return f"{', '.join(names)}{more}; {found['bits_per_weight']:.2f} bits a weight" if names else ""


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else "< 1%"


def _count(number: float) -> str:
    for unit, name in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if number >= unit:
            return f"{number / unit:.2f} {name}"
    return f"{number:,.0f}"


def _numbers(value: int | list[int]) -> str:
    """One number; of one for each layer the different ones."""
    if isinstance(value, int):
        return str(value)
    distinct = sorted(set(value))
    return str(distinct[0]) if len(distinct) == 1 else f"{distinct[0]} to {distinct[-1]}"


def _with(form: str, value: Any) -> str:
    return form.format(value) if isinstance(value, int) else ""


def _layers(found: Mapping[str, Any]) -> str:
    width = _with(", {} wide", found.get("width"))
    return f"{_numbers(found['layers'])}{width}" if "layers" in found else ""


def _heads(found: Mapping[str, Any]) -> str:
    if "heads" not in found:
        return ""
    kv = f", {_numbers(found['kv_heads'])} of keys and values" if "kv_heads" in found else ""
    return _numbers(found["heads"]) + kv


def _experts(found: Mapping[str, Any]) -> str:
    used = f", {_numbers(found['experts_used'])} used for a token" if "experts_used" in found else ""
    return f"{_numbers(found['experts'])}{used}" if found.get("experts") else ""


def _vocabulary(found: Mapping[str, Any]) -> str:
    names = [found[key] for key in ("tokenizer", "pre_tokenizer") if found.get(key)]
    count = _with("{:,} tokens", found.get("vocabulary"))
    return f"{count} ({', '.join(names)})" if names and count else count


def _file(found: Mapping[str, Any]) -> str:
    files = f"{found['files']} files" if found["files"] > 1 else "1 file"
    return f"{found['format']}, {files}, {found['tensors']} tensors, {size(found['tensor_bytes'])}"


def _runs(found: Mapping[str, Any]) -> str:
    if not found["runs"]:
        return f"no: {found.get('reason', '')}"
    return "yes, as an encoder: embeddings, no answers (ostinato.load(...).embed)" if found["embeds"] else "yes"


def _memory(row: Mapping[str, int]) -> str:
    state = f", state {size(row['state'])}" if row["state"] else ""
    parts = f"weights {size(row['weights'])}, keys and values {size(row['kv'])}{state}"
    return f"{size(row['total'])} at {row['context']:,} tokens ({parts})"


def _budget(found: Mapping[str, Any]) -> str:
    if "expert_bytes" not in found:
        return ""
    rest = found["tensor_bytes"] - found["expert_bytes"]
    return f"experts, {size(found['expert_bytes'])} of the weights, may lie elsewhere; the other {size(rest)} may not"
