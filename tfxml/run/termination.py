"""SIGTERM as notice: save, end, and let the same command go on later."""

from __future__ import annotations

import signal
import threading

import tensorflow as tf

from strategies import collective

EXIT_CODE = 128 + signal.SIGTERM


class Notice:
    """Whether this process, or another worker of it, was told to end.

    Used as a context: inside, SIGTERM is remembered and does not end the
    process. Outside of the main thread, where Python takes no signals, there
    is never notice.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        self._sum = collective.make_sum_over_workers(strategy)
        self._was_told = False
        self._before = None

    def __enter__(self) -> Notice:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._remember)
        return self

    def __exit__(self, *unused: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    def came(self) -> bool:
        """Tells whether any worker was told; all ask at the same step."""
        return bool(self._sum([float(self._was_told)])[0])

    def _remember(self, signum, frame) -> None:
        self._was_told = True
