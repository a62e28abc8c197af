"""Shares work among threads."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable


class Threads:
    """Runs compiled loops, which release the GIL, on several processors.

    Args:
        number: of threads, the caller's included.
    """

    def __init__(self, number: int):
        if number < 1:
            raise ValueError(
                f"`number` must be at least 1. Received: {number=}"
            )
        self._number = number
        self._pool = concurrent.futures.ThreadPoolExecutor(number)

    def over(
        self, size: int, run: Callable[[slice], None], most: int | None = None
    ) -> None:
        """Calls `run` for slices that make up [0, size), one a thread.

        Args:
            size: of the whole.
            run: called in several threads at once.
            most: the most slices; None: `size`.
        """
        parts = max(min(self._number, size if most is None else most), 1)
        bounds = [part * size // parts for part in range(parts + 1)]
        slices = [
            slice(*pair) for pair in zip(bounds[:-1], bounds[1:], strict=True)
        ]
        running = [self._pool.submit(run, part) for part in slices[1:]]
        run(slices[0])
        for future in running:
            future.result()
