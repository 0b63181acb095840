"""What the engine is asked for and what it says back: token ids only, no protocol, no text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ostinato.backends.sampling import Sampling
from ostinato.engine.records_table import FinishReason


@dataclass(frozen=True, slots=True)
class Request:
    """One sequence to continue.

    `stop_ids` end the answer (the ending token is published, and is the last). The engine does not know text: stop
    strings are matched by whoever decodes (ostinato/text.py), who then cancels.
    """

    prompt: Sequence[int]
    max_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    stop_ids: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """One published token, or the end. (request, index) names it: after a restart it may come twice, identical.

    A final event carries `finish` and, when it ends without a token (cancelled, failed), token -1; `reason` is for
    people, where more is known than `finish` says.
    """

    request: int
    index: int  # 0 is the first generated token
    token: int
    finish: FinishReason = FinishReason.NONE
    logprob: float = float("nan")
    top: tuple[tuple[int, float], ...] = ()
    reason: str = ""
