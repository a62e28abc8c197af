"""A progress line of a command that trains nothing."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable


class Line:
    """A progress line on standard error, written at most once a second.

    On a terminal each line overwrites the previous one.
    """

    def __init__(self):
        self._printed = -math.inf

    def write(self, is_last: bool, text: Callable[[], str]) -> None:
        """Writes what `text` returns, unless too soon; always the last."""
        now = time.monotonic()
        if not is_last and now - self._printed < 1:
            return
        self._printed = now
        end = "\r" if sys.stderr.isatty() and not is_last else "\n"
        sys.stderr.write(f"{text()}{end}")
