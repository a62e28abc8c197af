"""A model's weights as arrays."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf


def array(weight: keras.Variable) -> np.ndarray:
    """Returns a weight as it is now, which training will not change.

    Raises:
        ValueError: if it holds what is not a finite number.
    """
    found = tf.convert_to_tensor(weight.value).numpy()
    if not np.isfinite(found).all():
        raise ValueError(
            f"`model` must have finite weights. Received: {weight.name}"
        )
    return found


def joined(shards: Sequence[keras.Variable]) -> np.ndarray:
    """Returns the weights that lie in runs of rows as one."""
    arrays = [array(one) for one in shards]
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
