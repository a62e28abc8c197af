"""Maps labels to the buckets that a MACH head predicts.

# N instances, L labels, R repetitions, B buckets, P labels of an instance
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfxml.mach import hashing
from tfxml.models import contract


def hashes_from(
    num_labels: int,
    num_repetitions: int,
    num_buckets: int | None = None,
    seed: int = 0,
    capacity: int | None = None,
) -> list[hashing.UniversalHash]:
    """Returns one hash per repetition.

    Args:
        num_labels: L.
        num_repetitions: R.
        num_buckets: B; None: about 4 sqrt(L).
        seed: of all hashes.
        capacity: the most labels they can take; None: a quarter more than L.

    Raises:
        ValueError: if the capacity is below L.
    """
    num_buckets = num_buckets or min(
        num_labels, max(2, round(4 * num_labels**0.5))
    )
    capacity = capacity or num_labels * 5 // 4
    if capacity < num_labels:
        raise ValueError(
            f"`label_capacity` must be at least the {num_labels} labels. "
            f"Received: label_capacity={capacity}"
        )
    return [
        hashing.from_seed(seed, repetition, num_buckets, capacity)
        for repetition in range(num_repetitions)
    ]


def bucket_priors(
    label_hash: hashing.UniversalHash, log_absent: np.ndarray | None
) -> np.ndarray | None:
    """Returns the probability of each bucket, [B], if labels are independent.

    `log_absent` [L] is log(1 - p) of each label's probability p.
    """
    if log_absent is None:
        return None
    bucket_log_absent = np.zeros(label_hash.num_buckets)
    for start, buckets in label_hash.blocks(len(log_absent)):
        block_log_absent = log_absent[start : start + len(buckets)]
        bucket_log_absent += np.bincount(
            buckets, block_log_absent, label_hash.num_buckets
        )
    return -np.expm1(bucket_log_absent)


def buckets_of(
    positives: contract.Positives, label_hash: hashing.UniversalHash
) -> contract.Positives:
    """Returns the batch's positive buckets, each once (OR)."""
    num_buckets = label_hash.num_buckets
    buckets = label_hash(positives.columns)
    if positives.rows.shape.rank == 2:
        return contract.Positives(
            positives.rows, buckets, _weights_once(buckets, positives.weights)
        )
    keys = tf.cast(positives.rows, tf.int64) * num_buckets + tf.cast(
        buckets, tf.int64
    )
    keys, key_numbers = tf.unique(keys)
    return contract.Positives(
        tf.cast(keys // num_buckets, tf.int32),
        tf.cast(keys % num_buckets, tf.int32),
        tf.math.unsorted_segment_max(
            positives.weights, key_numbers, tf.size(keys)
        ),
    )


def _weights_once(buckets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Returns weights [N, P], 0 where an earlier label has the same bucket.

    No shape depends on values, or a TPU could not compile it.
    """
    num_columns = tf.shape(buckets)[1]
    columns = tf.range(num_columns)
    is_same = tf.equal(buckets[:, :, None], buckets[:, None, :])
    is_label = weights[:, None, :] > 0
    first_columns = tf.reduce_min(
        tf.where(is_same & is_label, columns, num_columns), axis=2
    )
    return tf.where(tf.equal(first_columns, columns), weights, 0.0)
