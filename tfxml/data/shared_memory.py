"""Arrays that TensorFlow reads where they are: they are too large to copy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import tensorflow as tf

_ALIGNMENT = 64  # bytes: what TensorFlow's operations expect


def zeros(size: int, dtype: npt.DTypeLike) -> np.ndarray:
    """Returns zeros that a tensor can share.

    The system gives memory when it is first written.
    """
    num_bytes = size * np.dtype(dtype).itemsize
    memory = np.zeros(num_bytes + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + num_bytes].view(dtype)


def tensor(array: np.ndarray) -> tf.Tensor:
    """Returns a tensor of an array, which must not be changed any more.

    The two share memory if the array is from `zeros`.
    """
    is_shared = array.flags.writeable and not array.ctypes.data % _ALIGNMENT
    if not is_shared or not tf.executing_eagerly():
        return tf.constant(array)
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
