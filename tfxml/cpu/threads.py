"""Work that is shared out to threads."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable


class Threads:
    """Runs loops, which hold no lock, on several processors."""

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
        """Calls `run` for slices that are [0, size) together.

        `most` is how many slices there may be, at most one a thread.
        """
        parts = max(min(self._number, size if most is None else most), 1)
        bounds = [part * size // parts for part in range(parts + 1)]
        slices = [
            slice(*pair) for pair in zip(bounds[:-1], bounds[1:], strict=True)
        ]
        running = [self._pool.submit(run, some) for some in slices[1:]]
        run(slices[0])
        for one in running:
            one.result()
