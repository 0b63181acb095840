"""Which adapter is used, and what is asked of it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

import pytest
import wgpu

from ostinato.backends.contract import CompileError, Plan
from ostinato.backends.webgpu import WebGpuBackend, adapter, vulkan
from tests.backends.webgpu.support import model, needs_adapter


@dataclass
class FakeAdapter:
    """As much of an adapter as is looked at."""

    device: str
    kind: str
    api: str = "Vulkan"
    features: frozenset[str] = frozenset()
    limits: dict[str, int] = field(default_factory=lambda: dict(adapter.DEFAULT_LIMITS))

    @property
    def info(self) -> dict[str, str | int]:
        return {
            "device": self.device,
            "adapter_type": self.kind,
            "backend_type": self.api,
            "description": "a driver",
            "vendor_id": 1,
            "device_id": 2,
        }


def there_are(monkeypatch: pytest.MonkeyPatch, *adapters: FakeAdapter) -> None:
    monkeypatch.setattr(type(wgpu.gpu), "enumerate_adapters_sync", lambda self: list(adapters))


SOFTWARE = FakeAdapter("llvmpipe", "CPU")
INTEGRATED = FakeAdapter("iris", "IntegratedGPU")
DISCRETE = FakeAdapter("big card", "DiscreteGPU", features=frozenset({"shader-f16"}))
OPENGL = FakeAdapter("old card", "DiscreteGPU", api="OpenGL")


@pytest.mark.parametrize(
    ("adapters", "wanted"),
    [
        ((SOFTWARE, INTEGRATED, DISCRETE), "big card"),
        ((SOFTWARE, OPENGL, INTEGRATED), "iris"),
        ((OPENGL, SOFTWARE), "llvmpipe"),
        ((FakeAdapter("dx", "DiscreteGPU", api="D3D12"), DISCRETE), "big card"),
    ],
)
def test_the_best_adapter(monkeypatch: pytest.MonkeyPatch, adapters: tuple[FakeAdapter, ...], wanted: str) -> None:
    there_are(monkeypatch, *adapters)
    assert adapter.best().device == wanted


@pytest.mark.parametrize(("memory", "says"), [(8_000_000_000, "8.0 GB"), (0, "unknown")])
def test_the_probe_says_what_is_there(monkeypatch: pytest.MonkeyPatch, memory: int, says: str) -> None:
    there_are(monkeypatch, DISCRETE)
    monkeypatch.setattr("ostinato.backends.webgpu.vulkan.memory_bytes", lambda vendor, device: memory)
    probe = WebGpuBackend().probe()
    assert (probe.available, probe.device, probe.unfit, probe.memory_bytes) == (True, "big card", "", memory)
    assert probe.detail["memory"] == says
    assert probe.detail["API"] == "Vulkan"
    assert probe.detail["binding"] == "134 MB"
    assert probe.detail["features"] == "dot4I8Packed, f16"


def test_software_is_unfit_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    there_are(monkeypatch, SOFTWARE)
    probe = WebGpuBackend().probe()
    assert probe.available
    assert probe.unfit == "a software adapter is only used when it is named"


@needs_adapter
def test_vulkan_knows_memory() -> None:
    info = adapter.best().info
    if info["backend_type"] != "Vulkan":
        pytest.skip(f"the adapter is not Vulkan's but {info['backend_type']}'s")
    assert vulkan.memory_bytes(info["vendor_id"], info["device_id"]) >= 1 << 28
    assert vulkan.memory_bytes(0xFFFF, 0xFFFF) == 0


def test_no_adapter(monkeypatch: pytest.MonkeyPatch) -> None:
    there_are(monkeypatch, OPENGL)
    probe = WebGpuBackend().probe()
    assert not probe.available
    assert "is a driver installed?" in probe.device
    with pytest.raises(CompileError, match="no adapter"):
        WebGpuBackend().compile(*model(), Plan())


def test_without_wgpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ostinato.backends.webgpu.adapter", None)
    probe = WebGpuBackend().probe()
    assert not probe.available
    assert "pip install 'ostinato[webgpu]'" in probe.device


@needs_adapter
def test_a_device_has_what_was_asked_for() -> None:
    wide = adapter.open_device(adapter.best(), {}, None)
    narrow = adapter.open_device(adapter.best(), adapter.DEFAULT_LIMITS, frozenset())
    assert wide.buffer_bytes >= narrow.buffer_bytes == 1 << 28
    assert narrow.binding_bytes == 1 << 27
    assert not narrow.features
    assert "shader-f16" not in narrow.handle.features
    for device in (wide, narrow):
        assert device.alignment == 256
        device.handle.destroy()


@needs_adapter
def test_limits_beyond_the_adapter_are_refused() -> None:
    found: Any = adapter.best()
    with pytest.raises(CompileError, match=r"gives no device: .*"):
        adapter.open_device(found, {"max-buffer-size": 1 << 62}, None)
