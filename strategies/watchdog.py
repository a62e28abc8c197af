"""Notices a hang, where a call would wait for ever.

A server that hangs keeps its connections: its clients get neither an answer
nor an error.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from strategies import strategy_errors


class Watchdog:
    """Calls `on_stall` in its own thread when no `beat` comes in time.

    Args:
        seconds: The longest time allowed between two beats.
        on_stall: Called with a sentence; it should end the process.
    """

    def __init__(self, seconds: float, on_stall: Callable[[str], None]):
        strategy_errors.check_seconds("stall_seconds", seconds)
        self._seconds = seconds
        self._on_stall = on_stall
        self._last: float | None = None
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watchdog:
        self._thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._is_over.set()
        self._thread.join()

    def beat(self) -> None:
        """Records that something has happened."""
        self._last = time.monotonic()

    def pause(self) -> None:
        """Stops the clock until the next beat."""
        self._last = None

    def _watch(self) -> None:
        while not self._is_over.wait(self._seconds / 20):
            last = self._last
            if last is None or time.monotonic() - last <= self._seconds:
                continue
            self._on_stall(f"nothing has happened for {self._seconds:.0f} s")
            return
