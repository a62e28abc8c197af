"""Handles SIGTERM and Ctrl-C: save and exit; the same command resumes."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import numpy as np
import tensorflow as tf

from strategies import collective

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Notice:
    """Whether this process or another worker has received a signal to end.

    A context: inside, SIGTERM and SIGINT are recorded and do not end the
    process; a second SIGINT does. Outside of the main thread, where Python
    receives no signals, none is recorded.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        self._sum = collective.make_sum_over_workers(strategy)
        self._signal: int | None = None
        self._before: dict[int, Any] = {}  # handlers, by signal

    def __enter__(self) -> Notice:
        if threading.current_thread() is threading.main_thread():
            for signum in _SIGNALS:
                # Background jobs of a shell ignore SIGINT; so it stays.
                if signal.getsignal(signum) != signal.SIG_IGN:
                    self._before[signum] = signal.signal(signum, self._remember)
        return self

    def __exit__(self, *unused: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        self._before = {}

    def came(self) -> bool:
        """Tells whether any worker has a signal; all call it at one step."""
        return bool(
            self._sum(np.array([self._signal is not None], np.float64))[0]
        )

    @property
    def exit_code(self) -> int:
        """The exit code for the signal."""
        return 128 + (self._signal or signal.SIGTERM)

    def _remember(self, signum, frame) -> None:
        if signum == signal.SIGINT:
            if self._signal is not None:
                raise KeyboardInterrupt
            os.write(2, b"\nsaves and ends; once more: ends at once\n")
        self._signal = signum
