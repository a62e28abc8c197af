"""A model's weights as NumPy arrays."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfxml.models import forms

if TYPE_CHECKING:
    import tensorflow as tf


def array(weight: forms.Weight) -> np.ndarray:
    """Returns the numbers of a weight, in its own memory if it is on a CPU.

    They must not be written.

    Raises:
        ValueError: if a number is not finite.
    """
    if isinstance(weight, np.ndarray):
        values = np.array(weight)
    else:
        import tensorflow as tf  # here: arrays need no TensorFlow

        values = _held(tf.convert_to_tensor(weight.value))
    if not np.isfinite(values).all():
        raise ValueError(
            f"`model` must have finite weights. Received: {_name(weight)}"
        )
    return values


def splits(weight: forms.Weight, size: int) -> np.ndarray:
    """Returns where runs of rows begin in an array of `size`.

    Raises:
        ValueError: if they do not ascend from 0 to at most `size`.
    """
    values = array(weight)
    if values[0] != 0 or values[-1] > size or (np.diff(values) < 0).any():
        raise ValueError(
            f"`model` must have splits that ascend from 0 to at most {size}. "
            f"Received: {_name(weight)}"
        )
    return values


def ids(weight: forms.Weight, limit: int) -> np.ndarray:
    """Returns ids as unsigned integers, for which loops check no sign.

    Raises:
        ValueError: if one is not in [0, limit).
    """
    values = array(weight).view(np.uint32)
    if values.size and values.max() >= limit:
        raise ValueError(
            f"`model` must have ids below {limit}. Received: {_name(weight)}"
        )
    return values


def joined(shards: Sequence[forms.Weight]) -> np.ndarray:
    """Returns a weight whose rows are split over shards."""
    arrays = [array(shard) for shard in shards]
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _held(tensor: tf.Tensor) -> np.ndarray:
    """Returns a tensor's own memory, or a copy from another device.

    The loops are compiled for arrays that may be written, as most are.
    """
    is_here = "CPU" in tensor.device and 0 not in tensor.shape
    if not is_here or tensor.dtype not in ("float32", "int32"):
        return tensor.numpy()
    values = np.asarray(memoryview(tensor))
    bytes_of = ctypes.c_char * values.nbytes
    memory: Any = bytes_of.from_address(values.ctypes.data)
    memory.tensor = tensor  # lives as long as the memory is used
    return np.frombuffer(memory, values.dtype).reshape(values.shape)


def _name(weight: forms.Weight) -> str:
    if isinstance(weight, np.ndarray):
        return f"weights of shape {weight.shape}"
    return weight.name
