"""Walls around the process that runs a template: little memory, little time, no files, no processes, no network.

Jinja2's sandbox should suffice against reading what a template has no business with. Should it not, this process can
still only read one pipe and write another. Limits hold on every system, the filter of system calls on Linux.
"""

from __future__ import annotations

import contextlib
import ctypes
import platform
import resource
import signal
import struct
import sys
from collections.abc import Iterator
from typing import Any

MEMORY = 512 << 20  # bytes of address space (macOS does not enforce it)
SECONDS = 1.0  # of processor time for one rendering; twice that where no Python code runs that could stop by itself

# prctl(2), seccomp(2), <linux/filter.h>, <linux/audit.h>
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06  # BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K
AT_NUMBER, AT_ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
ALLOW, KILL, NOT_PERMITTED = 0x7FFF0000, 0x80000000, 0x00050000 | 1  # the last is an errno: EPERM

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # AUDIT_ARCH_*
# What computing and two pipes need: numbers by machine, in the order above (asm/unistd.h).
CALLS = {
    "read": (0, 63), "write": (1, 64), "exit": (60, 93), "exit_group": (231, 94),
    "mmap": (9, 222), "munmap": (11, 215), "mremap": (25, 216), "mprotect": (10, 226), "madvise": (28, 233),
    "brk": (12, 214), "futex": (202, 98), "clock_gettime": (228, 113), "setitimer": (38, 103),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "restart_syscall": (219, 128),
}  # fmt: skip


class TooLong(BaseException):
    """A template used up its time. Not an Exception: nothing on the way may take it for one of its own."""


def confine() -> None:
    """For good. Everything to be imported must have been."""
    for limit, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_NOFILE, 0),  # none beside those open now
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (most, most))
    if sys.platform == "linux" and platform.machine() in ARCHITECTURES:
        _filter_system_calls(platform.machine())


@contextlib.contextmanager
def limited_time() -> Iterator[None]:
    """Raises TooLong after SECONDS of processor time; after twice that the process ends."""
    signal.signal(signal.SIGPROF, _raise_too_long)
    signal.setitimer(signal.ITIMER_VIRTUAL, 2 * SECONDS)  # SIGVTALRM ends the process, even inside one long operation
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _raise_too_long(*_: Any) -> None:
    raise TooLong(f"it took more than {SECONDS:g} s of processor time")


def _filter_system_calls(machine: str) -> None:
    """All other calls fail with EPERM. A kernel without filters leaves things as they are: the limits still hold."""
    calls = [numbers[list(ARCHITECTURES).index(machine)] for numbers in CALLS.values()]
    program = [
        (LOAD, 0, 0, AT_ARCHITECTURE),
        (JUMP_IF_EQUAL, 1, 0, ARCHITECTURES[machine]),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, AT_NUMBER),
        *((JUMP_IF_EQUAL, len(calls) - i, 0, number) for i, number in enumerate(calls)),
        (RETURN, 0, 0, NOT_PERMITTED),
        (RETURN, 0, 0, ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), *[ctypes.c_ulong(0)] * 3)
    libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), ctypes.byref(header))
