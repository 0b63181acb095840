"""Experts in a device's slots, for backends that have them: what is there, what was read across the bus.

Not among the contract's six methods: an executable with a `keeper` is `Slotted`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ostinato.backends.contract import Executable

if TYPE_CHECKING:
    from ostinato.memory.hot import HotSet


class Keeper(Protocol):
    """Who moves experts into slots and out of them."""

    @property
    def policy(self) -> Any:
        """Who decides which: a HotSet, but for tests."""


@runtime_checkable
class Slotted(Protocol):
    """An executable that can keep a part of the experts on its device."""

    @property
    def keeper(self) -> Keeper | None:
        """None where everything is on the device."""


def hot_set(executable: Executable) -> HotSet | None:
    """What decides which experts are on the device; None where all or none are."""
    keeper = executable.keeper if isinstance(executable, Slotted) else None
    if keeper is None:
        return None
    from ostinato.memory.hot import HotSet

    return keeper.policy if isinstance(keeper.policy, HotSet) else None
