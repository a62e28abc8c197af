"""Labels that a trained model no longer answers; all labels keep their ids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf


def checked(
    label_ids: Sequence[int] | np.ndarray, num_labels: int
) -> np.ndarray:
    """Returns the ids to drop, each once, ascending.

    Raises:
        ValueError: if an id is out of range, or no label would be left.
    """
    dropped = np.unique(np.asarray(label_ids, np.int64))
    if len(dropped) and not (0 <= dropped[0] and dropped[-1] < num_labels):
        raise ValueError(
            f"`dropped` must be ids in [0, {num_labels}). Received: ids from "
            f"{dropped[0]} to {dropped[-1]}"
        )
    if len(dropped) == num_labels:
        raise ValueError(
            f"`dropped` must leave one of the {num_labels} labels. "
            "Received: all of them"
        )
    return dropped


def is_among(
    label_ids: tf.Tensor, dropped: Sequence[int] | np.ndarray
) -> tf.Tensor:
    """Tells which of the ids [C] are dropped; `dropped` must not be empty."""
    dropped_ids = tf.constant(dropped, label_ids.dtype)
    positions = tf.searchsorted(dropped_ids, label_ids)
    nearest = tf.gather(dropped_ids, tf.minimum(positions, len(dropped) - 1))
    return tf.equal(nearest, label_ids)
