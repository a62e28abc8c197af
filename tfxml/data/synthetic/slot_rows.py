"""Operations on rows with a fixed number of slots, some of them empty.

# n instances in a batch, K topic slots, J slots of a topic, S = K * J
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf


def is_first(ids: tf.Tensor) -> tf.Tensor:
    """Returns whether no earlier slot of the row has the same id, [n, S]."""
    is_earlier = np.tri(ids.shape[1], k=-1, dtype=bool)
    equal = ids[:, :, tf.newaxis] == ids[:, tf.newaxis, :]
    return ~tf.reduce_any(equal & is_earlier, axis=2)


def flat(slots: tf.Tensor) -> tf.Tensor:
    """Returns [n, K, J] as [n, K * J]."""
    return tf.reshape(slots, [-1, slots.shape[1] * slots.shape[2]])


def sort_counts(
    ids: tf.Tensor, counts: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Sorts rows by id; of equal ids only the first keeps its count."""
    keys = tf.sort(ids * 4 + counts, axis=1)  # counts are at most 3
    ids, counts = keys // 4, keys % 4
    is_new = tf.pad(
        ids[:, 1:] != ids[:, :-1], [[0, 0], [1, 0]], constant_values=True
    )
    return ids, tf.where(is_new, counts, 0)


def noisy_or(
    ids: tf.Tensor, p: tf.Tensor, is_on: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Sorts rows by id and merges the causes of a label."""
    order = tf.argsort(ids, axis=1)
    ids = tf.gather(ids, order, batch_dims=1)
    equal = ids[:, :, tf.newaxis] == ids[:, tf.newaxis, :]
    misses = tf.gather(1.0 - p, order, batch_dims=1)[:, tf.newaxis, :]
    p = 1.0 - tf.reduce_prod(tf.where(equal, misses, 1.0), axis=2)
    causes = tf.gather(is_on, order, batch_dims=1)[:, tf.newaxis, :]
    is_on = tf.reduce_any(equal & causes, axis=2)
    is_new = is_first(ids)
    return ids, tf.where(is_new, p, 0.0), is_on & is_new
