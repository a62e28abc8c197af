"""How the memory of a process is taken from the system, and given back.

Of the C library of most Linux systems, glibc; others do as they do.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from typing import Any

# Of mallopt, as malloc.h has them.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_LARGEST_MMAP_THRESHOLD = 32 << 20  # bytes, that it takes
_NUM_ARENAS = 2


def keep_together() -> None:
    """Lets all threads share a few heaps, for the rest of the process.

    Each thread has one of its own otherwise, and what one frees is not used by
    another. What is freed is kept for what comes next, until `give_back`: a
    training step takes and frees the same large blocks each time.
    """
    library = _glibc()
    if library is not None:
        library.mallopt(_ARENA_MAX, _NUM_ARENAS)
        library.mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def give_back() -> None:
    """Gives back what is free; takes some milliseconds.

    Called between the phases of a run, which need different blocks.
    """
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


@functools.cache
def _glibc() -> Any:
    """Returns the C library; None: another one."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
