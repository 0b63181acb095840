"""The model that a server serves: its names and numbers, its words, and the engine that runs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import time

from ostinato import __version__
from ostinato.chat import ChatEncoder
from ostinato.engine.loading import Opened
from ostinato.server.client import EngineClient, TextCodec


@dataclass(frozen=True)
class ServedModel:
    """One loaded model. `context` counts positions of a sequence, `stop_ids` end an answer."""

    name: str
    context: int
    vocab_size: int
    tokenizer: TextCodec
    template: ChatEncoder | None
    engine: EngineClient
    stop_ids: Sequence[int] = ()
    created: int = field(default_factory=lambda: int(time()))

    @classmethod
    def of(cls, opened: Opened, engine: EngineClient, name: str = "") -> ServedModel:
        """A model file that was read and planned; called after its file unless it is given a name."""
        tokenizer = opened.tokenizer
        plan = opened.plan
        return cls(
            name=name or opened.path.stem,
            context=min(plan.context, plan.blocks * plan.block_size),
            vocab_size=opened.spec.vocab_size,
            tokenizer=tokenizer,
            template=ChatEncoder.of(tokenizer),
            engine=engine,
            stop_ids=sorted(tokenizer.stop_ids),
        )

    @property
    def fingerprint(self) -> str:
        """What an answer's numbers depend on beside the request: this software and the kind of machine."""
        return f"ostinato-{__version__}-{self.engine.info().get('backend', 'unknown')}"
