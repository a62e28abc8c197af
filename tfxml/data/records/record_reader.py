"""Reads rows from the files of shards, with a few system calls each."""

from __future__ import annotations

import atexit
import errno
import os
import pathlib
import struct
import threading
import time
import weakref
from collections.abc import Sequence

import numpy as np

# n rows of a batch, S shards

_INDEX_ENTRY = struct.Struct(
    "<4q"
)  # two rows of an index: units, values, and next
_TOKEN_INDEX_ENTRY = struct.Struct("<2q")  # where a row's tokens start and end
_QUIET_SECONDS = 0.1


class _File:
    """A file whose errors name it: what is read in tf.data says no more."""

    def __init__(self, path: pathlib.Path):
        self._path = str(path)
        self._file = open(path, "rb", buffering=0)
        self._descriptor = self._file.fileno()

    def read(self, num_bytes: int, start: int) -> bytes:
        try:
            content = os.pread(self._descriptor, num_bytes, start)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._path) from error
        if len(content) != num_bytes:
            raise OSError(errno.EIO, "the file was cut", self._path)
        return content


class RecordReader:
    """Reads any rows, for `tf.numpy_function`.

    A process that exits while a thread of tf.data waits for Python would hang.
    So before Python exits, the reader returns empty rows until tf.data's
    buffers are full and no more requests come.

    Args:
        paths: index, units and values of each shard; to read tokens, also
            token index and tokens.
        starts: the first row of each shard, and the end, [S + 1].
        tokens_as: the dtype of stored tokens.
    """

    def __init__(
        self,
        paths: Sequence[Sequence[pathlib.Path]],
        starts: np.ndarray,
        tokens_as: np.dtype | None = None,
    ):
        self._files = [
            [_File(path) for path in shard_files] for shard_files in paths
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

        Each is two arrays: all entries, and how many each row has, [n] int64.
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
            index, units_file, values_file, *token_files = self._files[shard]
            entry = index.read(_INDEX_ENTRY.size, row * _INDEX_ENTRY.size // 2)
            first_unit, first_value, last_unit, last_value = (
                _INDEX_ENTRY.unpack(entry)
            )
            units.append(
                units_file.read(2 * (last_unit - first_unit), 2 * first_unit)
            )
            values.append(
                values_file.read(
                    4 * (last_value - first_value), 4 * first_value
                )
            )
            if self._tokens_as is not None:
                token_index, tokens_file = token_files
                entry = token_index.read(
                    _TOKEN_INDEX_ENTRY.size,
                    row * _TOKEN_INDEX_ENTRY.size // 2,
                )
                start, end = _TOKEN_INDEX_ENTRY.unpack(entry)
                size = self._tokens_as.itemsize
                tokens.append(
                    tokens_file.read(size * (end - start), size * start)
                )
        columns = [*_joined(units, np.uint16), *_joined(values, np.float32)]
        if self._tokens_as is not None:
            columns += _joined(tokens, self._tokens_as)
        return tuple(columns)

    def _end(self) -> None:
        """Waits until no thread reads."""
        self._is_ending = True
        while (
            self._num_reading or time.monotonic() - self._last < _QUIET_SECONDS
        ):
            time.sleep(_QUIET_SECONDS / 10)


def _call(method: weakref.WeakMethod) -> None:
    """Calls a method if its object still exists."""
    if (bound := method()) is not None:
        bound()


def _joined(rows: list[bytes], dtype) -> tuple[np.ndarray, np.ndarray]:
    """Returns all rows' entries, and how many each row has, [n] int64."""
    lengths = np.array(list(map(len, rows)), np.int64)
    return np.frombuffer(b"".join(rows), dtype), lengths // np.dtype(
        dtype
    ).itemsize
