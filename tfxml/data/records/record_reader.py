"""Reads rows out of the files of shards, a few system calls each."""

from __future__ import annotations

import atexit
import os
import pathlib
import struct
import threading
import time
import weakref
from collections.abc import Sequence

import numpy as np

# n rows of a batch

_PLACES = struct.Struct("<4q")  # two rows of an index: units, values, and next
_QUIET_SECONDS = 0.1


class RecordReader:
    """Reads any rows, for `tf.numpy_function`.

    A process that ends while a thread of tf.data waits for Python would hang,
    so before Python ends, the reader gives nothing to what is still asked for,
    until tf.data's buffers are full and nobody asks any more.

    Args:
        paths: index, units and values of each shard.
        starts: the first row of each shard, and the end, [S + 1].
    """

    def __init__(
        self, paths: Sequence[Sequence[pathlib.Path]], starts: np.ndarray
    ):
        self._files = [
            [open(path, "rb", buffering=0) for path in of_shard]
            for of_shard in paths
        ]
        self._descriptors = [
            [file.fileno() for file in of_shard] for of_shard in self._files
        ]
        self._starts = starts
        self._lock = threading.Lock()
        self._under_way = 0
        self._last = 0.0
        self._is_ending = False
        end = weakref.WeakMethod(self._end)
        atexit.register(lambda: end() and end()())

    def read(self, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        """Returns units, their lengths, values, their lengths, of rows [n]."""
        with self._lock:
            self._under_way += 1
        try:
            return self._read(indices[:0] if self._is_ending else indices)
        finally:
            with self._lock:
                self._under_way -= 1
                self._last = time.monotonic()

    def _read(self, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        shards = np.searchsorted(self._starts[1:], indices, side="right")
        rows = indices - self._starts[shards]
        units, values = [], []
        for shard, row in zip(shards.tolist(), rows.tolist(), strict=True):
            index, of_units, of_values = self._descriptors[shard]
            places = os.pread(index, _PLACES.size, row * _PLACES.size // 2)
            unit, value, last_unit, last_value = _PLACES.unpack(places)
            units.append(os.pread(of_units, 2 * (last_unit - unit), 2 * unit))
            values.append(
                os.pread(of_values, 4 * (last_value - value), 4 * value)
            )
        return (
            np.frombuffer(b"".join(units), np.uint16),
            np.array(list(map(len, units)), np.int64) // 2,
            np.frombuffer(b"".join(values), np.float32),
            np.array(list(map(len, values)), np.int64) // 4,
        )

    def _end(self) -> None:
        """Waits until nobody reads."""
        self._is_ending = True
        while self._under_way or time.monotonic() - self._last < _QUIET_SECONDS:
            time.sleep(_QUIET_SECONDS / 10)
