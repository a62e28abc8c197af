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

# n rows of a batch, S shards

_PLACES = struct.Struct("<4q")  # two rows of an index: units, values, and next
_TOKEN_PLACES = struct.Struct("<2q")  # where a row's tokens start and end
_QUIET_SECONDS = 0.1


class RecordReader:
    """Reads any rows, for `tf.numpy_function`.

    A process that ends while a thread of tf.data waits for Python would hang,
    so before Python ends, the reader gives nothing to what is still asked for,
    until tf.data's buffers are full and nobody asks any more.

    Args:
        paths: index, units and values of each shard; and, where tokens are
            wanted, token index and tokens.
        starts: the first row of each shard, and the end, [S + 1].
        tokens_as: what tokens are written as.
    """

    def __init__(
        self,
        paths: Sequence[Sequence[pathlib.Path]],
        starts: np.ndarray,
        tokens_as: np.dtype | None = None,
    ):
        self._files = [
            [open(path, "rb", buffering=0) for path in of_shard]
            for of_shard in paths
        ]
        self._descriptors = [
            [file.fileno() for file in of_shard] for of_shard in self._files
        ]
        self._starts = starts
        self._tokens_as = tokens_as
        self._lock = threading.Lock()
        self._num_reading = 0
        self._last = 0.0
        self._is_ending = False
        atexit.register(_call, weakref.WeakMethod(self._end))

    def read(self, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        """Returns the units and the values of rows [n], and any tokens.

        Each comes as one array and as int64 [n], how many each row has.
        """
        with self._lock:
            self._num_reading += 1
        try:
            return self._read(indices[:0] if self._is_ending else indices)
        finally:
            with self._lock:
                self._num_reading -= 1
                self._last = time.monotonic()

    def _read(self, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        shards = np.searchsorted(self._starts[1:], indices, side="right")
        rows = indices - self._starts[shards]
        units: list[bytes] = []
        values: list[bytes] = []
        tokens: list[bytes] = []
        for shard, row in zip(shards.tolist(), rows.tolist(), strict=True):
            index, of_units, of_values, *token_files = self._descriptors[shard]
            places = os.pread(index, _PLACES.size, row * _PLACES.size // 2)
            unit, value, last_unit, last_value = _PLACES.unpack(places)
            units.append(os.pread(of_units, 2 * (last_unit - unit), 2 * unit))
            values.append(
                os.pread(of_values, 4 * (last_value - value), 4 * value)
            )
            if self._tokens_as is not None:
                token_index, of_tokens = token_files
                places = os.pread(
                    token_index,
                    _TOKEN_PLACES.size,
                    row * _TOKEN_PLACES.size // 2,
                )
                start, end = _TOKEN_PLACES.unpack(places)
                size = self._tokens_as.itemsize
                tokens.append(
                    os.pread(of_tokens, size * (end - start), size * start)
                )
        columns = [*_joined(units, np.uint16), *_joined(values, np.float32)]
        if self._tokens_as is not None:
            columns += _joined(tokens, self._tokens_as)
        return tuple(columns)

    def _end(self) -> None:
        """Waits until nobody reads."""
        self._is_ending = True
        while (
            self._num_reading or time.monotonic() - self._last < _QUIET_SECONDS
        ):
            time.sleep(_QUIET_SECONDS / 10)


def _call(method: weakref.WeakMethod) -> None:
    """Calls a method if its object is still there."""
    if (bound := method()) is not None:
        bound()


def _joined(rows: list[bytes], dtype) -> tuple[np.ndarray, np.ndarray]:
    """Returns what all rows hold, and how much each does, [n] int64."""
    lengths = np.array(list(map(len, rows)), np.int64)
    return np.frombuffer(b"".join(rows), dtype), lengths // np.dtype(
        dtype
    ).itemsize
