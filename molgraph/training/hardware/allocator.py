"""Memory that stays: ``keep_memory()`` lets glibc reuse freed tensors instead of giving them back to the kernel.

``Growth().check()`` in a loop gives them back all the same once the process has doubled.
"""

import ctypes
import functools
import os
import sys
from pathlib import Path

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_KEPT, _GROWN = 2**31 - 1, 64 * 2**20


@functools.cache
def keep_memory() -> bool:
    """Keep freed memory in the process, once and for all of it; return whether that was possible.

    By default glibc returns every large tensor to the kernel as soon as it is freed, and the next one of its size costs
    a page fault for every 4 KB. Each step makes and frees the same tensors: a D-MPNN step of 64 molecules then takes
    half as long again. The price is that the process stays as large as it once was. Nothing is done where glibc is not,
    and where the environment variables ``MALLOC_*`` say what somebody wants.
    """
    library = _glibc()
    if library is None or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _KEPT), (_TOP_PAD, _GROWN))
    return all(library.mallopt(name, value) == 1 for name, value in settings)


class Growth:
    """Keeps a loop from growing without end: a tensor a little larger than the last does not fit the hole it left."""

    def __init__(self) -> None:
        self.allowed = 0

    def check(self) -> None:
        """Give freed memory back to the kernel at the first call, and whenever the process has doubled since."""
        library = _glibc()
        if library is not None and _resident() > self.allowed:
            library.malloc_trim(0)
            self.allowed = max(self.allowed, 2 * _resident())


def _resident() -> int:
    """Return the resident memory of this process in bytes (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    """Return the C library if it is glibc, else None."""
    library = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    return library if hasattr(library, "malloc_trim") else None
