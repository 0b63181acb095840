"""The choice of a backend, with machines that are not here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from ostinato.backends import choose
from ostinato.backends.contract import Backend, Plan, Probe
from ostinato.backends.webgpu.nodes import why_none
from ostinato.model.weights import StoredTensor
from ostinato.program.ir import Programs


class Pretended:
    """A backend that is only a probe."""

    def __init__(self, probe: Probe | Exception) -> None:
        self.name = probe.name if isinstance(probe, Probe) else "broken"
        self._probe = probe

    def probe(self) -> Probe:
        if isinstance(self._probe, Exception):
            raise self._probe
        return self._probe

    def compile(self, programs: Programs, tensors: Mapping[str, StoredTensor], plan: Plan) -> None:
        raise AssertionError("nothing is compiled here")


CARD = Probe("cuda", True, "a card")
NO_CARD = Probe("cuda", False, "no driver")
ADAPTER = Probe("webgpu", True, "an adapter")
SOFTWARE = Probe("webgpu", True, "llvmpipe", unfit="a software adapter is only used when it is named")
CPU = Probe("cpu", True, "a processor")
REFERENCE = Probe("reference", True, "NumPy")


def pretend(monkeypatch: pytest.MonkeyPatch, *probes: Probe | Exception) -> None:
    makers: dict[str, Callable[[], Backend]] = {}
    for probe in probes:
        backend = Pretended(probe)
        makers[backend.name] = lambda backend=backend: backend  # type: ignore[misc]
    monkeypatch.setattr(choose, "BACKENDS", makers)
    monkeypatch.setattr(choose, "GLANCES", {})


@pytest.mark.parametrize(
    ("probes", "chosen"),
    [
        ((CARD, ADAPTER, CPU), "cuda"),
        ((NO_CARD, ADAPTER, CPU), "webgpu"),
        ((NO_CARD, SOFTWARE, CPU), "cpu"),
        ((OSError("libcuda.so.1 is broken"), SOFTWARE, CPU, REFERENCE), "cpu"),
    ],
)
def test_the_first_that_is_fit(monkeypatch: pytest.MonkeyPatch, probes: tuple[Probe, ...], chosen: str) -> None:
    pretend(monkeypatch, *probes)
    assert choose.choose().name == chosen
    survey = choose.survey()
    assert [f.probe.name for f in survey if not f.reason] == [chosen]


def test_the_survey_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, NO_CARD, SOFTWARE, CPU, REFERENCE)
    reasons = {f.probe.name: f.reason for f in choose.survey()}
    assert reasons["cuda"] == "no driver"
    assert reasons["webgpu"] == SOFTWARE.unfit
    assert reasons["reference"].startswith("only when it is named")


def test_a_better_one_is_named_as_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, CARD, CPU)
    assert {f.probe.name: f.reason for f in choose.survey()} == {"cuda": "", "cpu": "cuda comes first"}


def test_a_software_adapter_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, NO_CARD, SOFTWARE, CPU)
    assert choose.choose("webgpu").name == "webgpu"


def test_forcing_an_absent_one_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, NO_CARD, CPU)
    with pytest.raises(choose.BackendError, match="'cuda' is not available here: no driver"):
        choose.choose("cuda")
    with pytest.raises(choose.BackendError, match="there is no backend 'tpu'; there are: cuda, cpu"):
        choose.choose("tpu")


def test_nothing_is_available(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, NO_CARD, REFERENCE)
    with pytest.raises(choose.BackendError, match=r"no backend is available here: cuda: no driver; reference: only"):
        choose.choose()


def test_a_glance_spares_the_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only in the choice: a survey probes, and comes to the same."""
    pretend(monkeypatch, NO_CARD, ADAPTER, CPU)
    monkeypatch.setattr(choose, "GLANCES", {"webgpu": lambda: "no graphics device"})
    assert choose.choose().name == "cpu"
    reasons = {f.probe.name: f.reason for f in choose.survey()}
    assert reasons == {"cuda": "no driver", "webgpu": "no graphics device", "cpu": ""}
    assert choose.choose("webgpu").name == "webgpu"


@pytest.mark.parametrize("node", ["dri/renderD128", "nvidia0", "dxg", "kgsl-3d0", "mali0", "nvhost-as-gpu"])
def test_a_device_node_asks_for_a_probe(tmp_path: Path, node: str) -> None:
    (tmp_path / node).parent.mkdir(exist_ok=True)
    assert "no graphics device" in why_none(tmp_path, "linux")
    (tmp_path / node).touch()
    assert why_none(tmp_path, "linux") == ""


def test_a_display_is_no_adapter(tmp_path: Path) -> None:
    """Servers have a card0 that shows a console and computes nothing; other systems have no such nodes."""
    (tmp_path / "dri").mkdir()
    (tmp_path / "dri" / "card0").touch()
    assert why_none(tmp_path, "linux")
    assert why_none(tmp_path, "darwin") == ""


def test_without_a_device_the_choice_does_not_import_wgpu() -> None:
    code = (
        "import sys; from ostinato.backends import choose; from ostinato.backends.webgpu import nodes;"
        "nodes.why_none.__defaults__ = (nodes.Path('/nowhere'), 'linux');"
        "choose.choose(); assert 'wgpu' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
