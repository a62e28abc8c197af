"""Shares work among threads."""

from __future__ import annotations

import concurrent.futures
import functools
import os
from collections.abc import Callable


class Threads:
    """Runs compiled loops, which release the GIL, on several processors.

    Args:
        number: how many threads, including the caller's.
    """

    def __init__(self, number: int):
        if number < 1:
            raise ValueError(
                f"`number` must be at least 1. Received: {number=}"
            )
        self._number = number
        self._pool = concurrent.futures.ThreadPoolExecutor(number)

    def over(
        self,
        size: int,
        run: Callable[[slice], None],
        max_slices: int | None = None,
    ) -> None:
        """Calls `run` on slices that make up [0, size), one per thread.

        Args:
            size: the length of the whole range.
            run: called in several threads at once.
            max_slices: the largest number of slices; None: `size`.
        """
        num_slices = max(
            min(self._number, size if max_slices is None else max_slices), 1
        )
        bounds = [part * size // num_slices for part in range(num_slices + 1)]
        slices = [
            slice(*edges) for edges in zip(bounds[:-1], bounds[1:], strict=True)
        ]
        running = [self._pool.submit(run, part) for part in slices[1:]]
        run(slices[0])
        for future in running:
            future.result()


@functools.cache
def of_process() -> Threads:
    """Returns as many threads as there are processors, made once."""
    return Threads(os.cpu_count() or 1)
