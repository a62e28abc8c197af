"""How the memory of a process is taken from the system, and given back.

Of the C library of most Linux systems, glibc; others do as they do.
"""

from __future__ import annotations

import ctypes
import functools
import os
import re
import sys
from typing import Any

# Of mallopt, as malloc.h has them.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_LARGEST_MMAP_THRESHOLD = 32 << 20  # bytes, that it takes
_NUM_ARENAS = 2
# Of madvise, and of Linux' list of what a process has mapped.
_DONTNEED = 4
_MAPPINGS = "/proc/self/smaps"
_HEADER = re.compile(
    rb"(?P<first>[0-9a-f]+)-(?P<last>[0-9a-f]+) (?P<may>...)(?P<access>.) "
    rb"[0-9a-f]+ \S+ (?P<inode>\d+)"
)
_FEWEST_KILOBYTES = 256  # of a mapping that are worth a call


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


def drop_file_pages() -> int:
    """Gives back the pages of files that programs and libraries are read from.

    Those that only a start needed are most of them; the others are read again
    from the system's cache of the file. What was written to is kept, so that
    nothing changes but what the process holds.

    Returns:
        how many bytes were given back; 0 where the system is not Linux.
    """
    if not os.path.exists(_MAPPINGS) or _glibc() is None:
        return 0
    with open(_MAPPINGS, "rb") as mappings:
        lines = mappings.read().split(b"\n")
    dropped, mapping = 0, None
    for line in lines:
        start = _HEADER.match(line)
        if start:
            is_of_file = start["inode"] != b"0" and start["access"] == b"p"
            is_of_file = is_of_file and b"w" not in start["may"]
            mapping = start if is_of_file else None
            sizes = {}
        elif mapping is not None:
            name, _, value = line.partition(b":")
            if name in (b"Rss", b"Anonymous"):
                sizes[name] = int(value.split()[0])
            if name == b"VmFlags" and sizes.get(b"Anonymous") == 0:
                dropped += _drop(mapping, sizes[b"Rss"])
    return dropped << 10


def _drop(mapping: re.Match, kilobytes: int) -> int:
    """Drops a mapping's pages; returns how many kilobytes went."""
    first, last = int(mapping["first"], 16), int(mapping["last"], 16)
    if kilobytes < _FEWEST_KILOBYTES:
        return 0
    refused = _glibc().madvise(
        ctypes.c_void_p(first), ctypes.c_size_t(last - first), _DONTNEED
    )
    return 0 if refused else kilobytes  # a mapping may be locked in memory


@functools.cache
def _glibc() -> Any:
    """Returns the C library; None: another one."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
