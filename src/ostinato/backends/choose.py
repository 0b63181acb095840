"""Which backend runs a model: the names there are, and the choice when none is asked for. Never silent."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ostinato.backends.contract import Backend


class BackendError(ValueError):
    """A backend that does not exist or is not available here; the text says why and what is."""


def _reference() -> Backend:
    from ostinato.backends.reference import ReferenceBackend

    return ReferenceBackend()


def _null() -> Backend:
    from ostinato.backends.null import NullBackend

    return NullBackend()


def _cpu() -> Backend:
    from ostinato.backends.cpu import CpuBackend

    return CpuBackend()


# In the order of choice; imported on use, so that a backend costs nothing until it is asked for.
BACKENDS: Mapping[str, Callable[[], Backend]] = {"cpu": _cpu, "reference": _reference, "null": _null}

NEVER_BY_ITSELF = ("reference", "null")


def choose(name: str | None = None) -> Backend:
    """The backend called `name`, or the first available one. Raises BackendError."""
    if name is not None:
        return _named(name)
    reasons = []
    for candidate in BACKENDS:
        if candidate in NEVER_BY_ITSELF:
            continue
        backend = BACKENDS[candidate]()
        probe = backend.probe()
        if probe.available:
            return backend
        reasons.append(f"{candidate}: {probe.device}")
    raise BackendError("no backend is available here: " + "; ".join(reasons))


def _named(name: str) -> Backend:
    if name not in BACKENDS:
        raise BackendError(f"there is no backend {name!r}; there are: {', '.join(BACKENDS)}")
    backend = BACKENDS[name]()
    probe = backend.probe()
    if not probe.available:
        raise BackendError(f"backend {name!r} is not available here: {probe.device}")
    return backend
