"""The process that ends a launcher's children when the launcher is gone.

The launcher may be killed by a signal that it cannot catch. It starts this
file first and holds the only write end of its standard input. Every child
writes `+<process group>` there before it runs its command, the launcher
writes `-<process group>` once nothing of the group is left, and at the end of
the input, however it came, the groups that remain are ended: SIGTERM, then
SIGKILL. Imports nothing of this package: it runs by its path.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable

_GRACE_SECONDS = 3.0


def watch(lines: Iterable[str]) -> set[int]:
    """Returns the process groups that were left when `lines` ended."""
    groups: set[int] = set()
    for line in lines:
        group = int(line[1:])
        if line.startswith("+"):
            groups.add(group)
        else:
            groups.discard(group)
    return groups


def end(groups: set[int]) -> None:
    """Ends the process groups and returns once they are gone."""
    _send(groups, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE_SECONDS
    while time.monotonic() < deadline and _send(groups, 0):
        time.sleep(0.05)
    _send(groups, signal.SIGKILL)


def _send(groups: set[int], signum: int) -> bool:
    """Signals the groups, and returns whether one of them was there."""
    has_signalled = False
    for group in groups:
        try:
            os.killpg(group, signum)
            has_signalled = True
        except (ProcessLookupError, PermissionError):
            continue
    return has_signalled


if __name__ == "__main__":
    for caught in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(caught, signal.SIG_IGN)
    end(watch(sys.stdin))
