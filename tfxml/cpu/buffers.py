"""Memory for large results of loops that TensorFlow reads."""

from __future__ import annotations

import sys

import numpy as np

_ALIGNMENT = 64  # bytes; TensorFlow copies what NumPy gives it otherwise


class Buffers:
    """Gives out float32 matrices, in the same memory when nobody reads it.

    Fresh memory is filled with zeros by the system, which takes longer than to
    write a gradient to it.
    """

    _MOST = 4

    def __init__(self):
        self._arrays: list[np.ndarray] = []

    def take(self, num_rows: int, num_columns: int) -> np.ndarray:
        """Returns a matrix with any content."""
        size = num_rows * num_columns + _ALIGNMENT // 4
        for array in self._arrays:
            # References: the list's, the variable's and the call's.
            if len(array) >= size and sys.getrefcount(array) == 3:
                return _aligned(array, num_rows, num_columns)
        array = np.empty(size + size // 8, np.float32)
        self._arrays = [*self._arrays, array][-self._MOST :]
        return _aligned(array, num_rows, num_columns)


def _aligned(memory: np.ndarray, num_rows: int, num_columns: int) -> np.ndarray:
    """Returns a matrix in some memory that TensorFlow need not copy."""
    start = -memory.ctypes.data % _ALIGNMENT // 4
    flat = memory[start : start + num_rows * num_columns]
    return flat.reshape(num_rows, num_columns)
