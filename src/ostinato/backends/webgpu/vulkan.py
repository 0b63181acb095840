"""How much memory a card has. WebGPU does not say; Vulkan does, by a few calls of its library."""

from __future__ import annotations

import ctypes
import struct
import sys
from collections.abc import Iterator
from ctypes.util import find_library

_INSTANCE = struct.pack("@iPiPIPIP", 1, 0, 0, 0, 0, 0, 0, 0)  # VkInstanceCreateInfo without anything: sType 1
_PROPERTIES = 4096  # bytes: more than a VkPhysicalDeviceProperties
_VENDOR = struct.Struct("@8xII")  # its vendorID and deviceID
_MEMORY_TYPES, _HEAPS = 32, 16  # VkPhysicalDeviceMemoryProperties: types of (flags, heap), then heaps
_HEAP_COUNT = 4 + 8 * _MEMORY_TYPES
_HEAP = struct.Struct("@QI4x")
_DEVICE_LOCAL = 1


def memory_bytes(vendor: int, device: int) -> int:
    """The largest heap of a card's own memory; 0 where Vulkan or the card is not there."""
    name = find_library("vulkan-1" if sys.platform == "win32" else "vulkan")
    if name is None:
        return 0
    try:
        library = ctypes.CDLL(name)
    except OSError:
        return 0
    instance = ctypes.c_void_p()
    if library.vkCreateInstance(_INSTANCE, None, ctypes.byref(instance)) != 0:
        return 0
    try:
        return max((heap for heap in _heaps(library, instance, (vendor, device))), default=0)
    finally:
        library.vkDestroyInstance(instance, None)


def _heaps(library: ctypes.CDLL, instance: ctypes.c_void_p, wanted: tuple[int, int]) -> Iterator[int]:
    """Bytes of every device-local heap of the cards (vendor, device)."""
    count = ctypes.c_uint32()
    library.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), None)
    devices = (ctypes.c_void_p * count.value)()
    library.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), devices)
    for device in devices:
        properties = ctypes.create_string_buffer(_PROPERTIES)
        library.vkGetPhysicalDeviceProperties(ctypes.c_void_p(device), properties)
        if _VENDOR.unpack_from(properties) != wanted:
            continue
        memory = ctypes.create_string_buffer(_PROPERTIES)
        library.vkGetPhysicalDeviceMemoryProperties(ctypes.c_void_p(device), memory)
        (heaps,) = struct.unpack_from("@I", memory, _HEAP_COUNT)
        for index in range(min(heaps, _HEAPS)):
            size, flags = _HEAP.unpack_from(memory, _HEAP_COUNT + 4 + index * _HEAP.size)
            if flags & _DEVICE_LOCAL:
                yield size
