"""Records which experts the tokens of texts are sent to: a model compiled with its routers' ids as outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ostinato.backends.contract import CompileError, Plan
from ostinato.engine.engine import Engine
from ostinato.engine.evaluate import token_outputs
from ostinato.engine.loading import Opened
from ostinato.engine.local import local_engine
from ostinato.memory.options import Prefetch
from ostinato.memory.parcels import Parcels, expert_parcels
from ostinato.memory.routing import Routing
from ostinato.model.architectures import ModelError
from ostinato.passes.observe import chosen_name, expert_instructions, foreseen_name, observe


class Recorder:
    """A model whose routing can be read. It holds the executable, and the file once it is made: close it."""

    def __init__(self, opened: Opened) -> None:
        """Raises ModelError for a model without experts, whatever `compile` raises, and CompileError for a backend that
        hands out nothing but logits."""
        self.parcels, self._chosen, foreseen = _stacks(opened)
        programs = observe(opened.programs, opened.file.tensors)
        known = {name for program in programs for name in program.outputs}
        self._foreseen = [name if name in known else None for name in foreseen]
        self._opened = replace(opened, programs=programs, plan=_unhinted(opened.plan))
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

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _window(self, engine: Engine, ids: Sequence[int]) -> Routing:
        names = [*self._chosen, *(name for name in self._foreseen if name is not None)]
        try:
            made = token_outputs(engine, ids, names)
        except KeyError:
            raise CompileError(
                f"the backend {self._opened.backend.name} does not say which experts it chose; --backend cpu does"
            ) from None
        foreseen = tuple(made[name] if name is not None else None for name in self._foreseen)
        return Routing(self.parcels, tuple(made[name] for name in self._chosen), foreseen)


def _unhinted(plan: Plan) -> Plan:
    """The program has the routers of hints already, and its tokens are no measure of speed."""
    if plan.residency is None:
        return plan
    settings = replace(plan.residency.settings, prefetch=Prefetch.NONE)
    return replace(plan, residency=replace(plan.residency, settings=settings))


def _stacks(opened: Opened) -> tuple[Parcels, list[str], list[str]]:
    """The model's experts as parcels, and for each stack the outputs of what was chosen and foreseen."""
    parcels = expert_parcels(opened.programs, opened.file)
    instructions = {parcels.stack(i): i for i in expert_instructions(opened.programs)}
    if not parcels.stacks:
        raise ModelError(f"{opened.path}: has no experts that could be told apart")
    own = [instructions[stack] for stack in parcels.stacks]
    return parcels, [chosen_name(i) for i in own], [foreseen_name(i) for i in own]
