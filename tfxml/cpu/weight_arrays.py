"""A model's weights as NumPy arrays."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf


def array(weight: keras.Variable) -> np.ndarray:
    """Returns a copy of a weight.

    Raises:
        ValueError: if a number is not finite.
    """
    values = tf.convert_to_tensor(weight.value).numpy()
    if not np.isfinite(values).all():
        raise ValueError(
            f"`model` must have finite weights. Received: {weight.name}"
        )
    return values


def splits(weight: keras.Variable, size: int) -> np.ndarray:
    """Returns where runs of rows begin in an array of `size`.

    Raises:
        ValueError: if they do not ascend from 0 to at most `size`.
    """
    values = array(weight)
    if values[0] != 0 or values[-1] > size or (np.diff(values) < 0).any():
        raise ValueError(
            f"`model` must have splits that ascend from 0 to at most {size}. "
            f"Received: {weight.name}"
        )
    return values


def ids(weight: keras.Variable, limit: int) -> np.ndarray:
    """Returns ids as unsigned integers, for which loops check no sign.

    Raises:
        ValueError: if one is not in [0, limit).
    """
    values = array(weight).view(np.uint32)
    if values.size and values.max() >= limit:
        raise ValueError(
            f"`model` must have ids below {limit}. Received: {weight.name}"
        )
    return values


def joined(shards: Sequence[keras.Variable]) -> np.ndarray:
    """Returns a weight whose rows are split over shards."""
    arrays = [array(shard) for shard in shards]
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
