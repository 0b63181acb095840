"""Which backend runs a model: the names there are, and the choice when none is asked for. Never silent.

The first of BACKENDS that is available and fit is chosen; `survey` says of each why it was not. A candidate that a
glance rules out is not probed for the choice: nobody waits for drivers of devices that are not there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ostinato.backends.contract import Backend, Probe


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


def _cuda() -> Backend:
    from ostinato.backends.cuda import CudaBackend

    return CudaBackend()


def _webgpu() -> Backend:
    from ostinato.backends.webgpu import WebGpuBackend

    return WebGpuBackend()


def _glance_at_webgpu() -> str:
    from ostinato.backends.webgpu.nodes import why_none

    return why_none()


# In the order of choice; imported on use, so that a backend costs nothing until it is asked for.
BACKENDS: Mapping[str, Callable[[], Backend]] = {
    "cuda": _cuda,
    "webgpu": _webgpu,
    "cpu": _cpu,
    "reference": _reference,
    "null": _null,
}

NEVER_BY_ITSELF: Mapping[str, str] = {
    "reference": "only when it is named: it defines what others compute, slowly",
    "null": "only when it is named: its answers mean nothing",
}

# Why a backend cannot be the one chosen by itself, told without a probe; "" where only a probe can tell.
GLANCES: Mapping[str, Callable[[], str]] = {"webgpu": _glance_at_webgpu}


@dataclass(frozen=True)
class Found:
    """What looking at a backend gave: its probe, and why it is not the one chosen ("" for the one that is)."""

    probe: Probe
    reason: str


def choose(name: str | None = None) -> Backend:
    """The backend called `name`, or the first that is available and fit. Raises BackendError."""
    if name is not None:
        return _named(name)
    reasons = []
    for candidate in BACKENDS:
        reason = _glance(candidate)
        if not reason:
            backend = BACKENDS[candidate]()
            reason = _why_not(look(backend))
            if not reason:
                return backend
        reasons.append(f"{candidate}: {reason}")
    raise BackendError("no backend is available here: " + "; ".join(reasons))


def survey() -> list[Found]:
    """Every backend in the order of choice, fully probed; at most one has no reason against it, the one chosen."""
    found: list[Found] = []
    for candidate, make in BACKENDS.items():
        probe = look(make())
        reason = _why_not(probe) or _glance(candidate)
        chosen = next((f.probe.name for f in found if not f.reason), "")
        found.append(Found(probe, reason or (f"{chosen} comes first" if chosen else "")))
    return found


def look(backend: Backend) -> Probe:
    """The backend's probe; an error while it looks is its answer."""
    try:
        return backend.probe()
    except (ImportError, OSError, RuntimeError) as error:
        return Probe(backend.name, False, f"{type(error).__name__}: {error}")


def _glance(candidate: str) -> str:
    return GLANCES[candidate]() if candidate in GLANCES else ""


def _why_not(probe: Probe) -> str:
    if not probe.available:
        return probe.device
    if probe.name in NEVER_BY_ITSELF:
        return NEVER_BY_ITSELF[probe.name]
    return probe.unfit


def _named(name: str) -> Backend:
    if name not in BACKENDS:
        raise BackendError(f"there is no backend {name!r}; there are: {', '.join(BACKENDS)}")
    backend = BACKENDS[name]()
    probe = look(backend)
    if not probe.available:
        raise BackendError(f"backend {name!r} is not available here: {probe.device}")
    return backend
