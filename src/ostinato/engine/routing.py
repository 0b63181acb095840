"""Records which experts the tokens of texts are sent to: a model compiled with its routers' ids as outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ostinato.backends.contract import CompileError
from ostinato.engine.engine import Engine
from ostinato.engine.evaluate import token_outputs
from ostinato.engine.loading import Opened
from ostinato.engine.local import local_engine
from ostinato.memory.parcels import Parcels, expert_parcels
from ostinato.memory.routing import Routing
from ostinato.model.architectures import ModelError
from ostinato.passes.observe import expert_instructions, observe, output_name


class Recorder:
    """A model whose routing can be read. It holds the executable, and the file once it is made: close it."""

    def __init__(self, opened: Opened) -> None:
        """Raises ModelError for a model without experts, whatever `compile` raises, and CompileError for a backend that
        hands out nothing but logits."""
        self.parcels, self._names = _stacks(opened)
        self._opened = replace(opened, programs=observe(opened.programs))
        self._executable = self._opened.compile()
        self._engine, _ = local_engine(self._opened, self._executable, 1)

    def record(self, ids: Sequence[int]) -> Iterator[Routing]:
        """The routing of a text, a window of the context at a time: each is a text of its own. Raises ValueError for
        an empty text, BatchError for a token outside the vocabulary."""
        if not ids:
            raise ValueError("the text is empty")
        for start in range(0, len(ids), self.window):
            yield self._window(self._engine, ids[start : start + self.window])

    @property
    def window(self) -> int:
        """Tokens of the longest text that is read whole."""
        return self._engine.capacity

    def close(self) -> None:
        self._executable.close()
        self._opened.file.close()

    def _window(self, engine: Engine, ids: Sequence[int]) -> Routing:
        try:
            made = token_outputs(engine, ids, self._names)
        except KeyError:
            raise CompileError(
                f"the backend {self._opened.backend.name} does not say which experts it chose; --backend cpu does"
            ) from None
        return Routing(self.parcels, tuple(made[name] for name in self._names))


def _stacks(opened: Opened) -> tuple[Parcels, list[str]]:
    """The model's experts as parcels, and the output that shows the choice of each stack."""
    parcels = expert_parcels(opened.programs, opened.file)
    names = {parcels.stack(i): output_name(i) for i in expert_instructions(opened.programs)}
    if not parcels.stacks:
        raise ModelError(f"{opened.path}: has no experts that could be told apart")
    return parcels, [names[stack] for stack in parcels.stacks]
