"""The rows of a request, checked in the graph: ascending and distinct.

# N instances, M entries of a padded row, D features, E stored features
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfxml.topk import dropping

TEXT_KEY = "text"
IDS_KEY = "feature_ids"
VALUES_KEY = "feature_values"


def from_padded(
    feature_ids: tf.Tensor, feature_values: tf.Tensor, num_features: int
) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
    """Returns rows [N, (D)] of padded ones [N, M], without zero values."""
    shape_check = tf.debugging.assert_equal(
        tf.shape(feature_ids),
        tf.shape(feature_values),
        "`feature_ids` and `feature_values` must have the same shape",
    )
    with tf.control_dependencies([shape_check]):
        positions = tf.where(feature_values != 0)
    return _rows(
        positions[:, 0],
        tf.gather_nd(feature_ids, positions),
        tf.gather_nd(feature_values, positions),
        tf.shape(feature_ids, tf.int64)[0],
        num_features,
    )


def from_examples(
    serialized: tf.Tensor, num_features: int
) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
    """Returns rows [N, (D)] of serialized `tf.Example` protos [N]."""
    parsed = tf.io.parse_example(
        serialized,
        {
            IDS_KEY: tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64),
            VALUES_KEY: tf.io.RaggedFeature(
                tf.float32, row_splits_dtype=tf.int64
            ),
        },
    )
    ids, values = parsed[IDS_KEY], parsed[VALUES_KEY]
    length_check = tf.debugging.assert_equal(
        ids.row_splits,
        values.row_splits,
        f"each example must hold as many `{VALUES_KEY}` as `{IDS_KEY}`",
    )
    with tf.control_dependencies([length_check]):
        row_ids = ids.value_rowids()
    return _rows(row_ids, ids.values, values.values, ids.nrows(), num_features)


def texts_from_examples(serialized: tf.Tensor) -> tf.Tensor:
    """Returns the texts of serialized `tf.Example` protos, [N] each."""
    return tf.io.parse_example(
        serialized, {TEXT_KEY: tf.io.FixedLenFeature([], tf.string)}
    )[TEXT_KEY]


def _rows(row_ids, ids, values, num_rows, num_features: int):
    """Returns ragged rows of E stored features, sorted, with repeats summed."""
    ids = _checked(tf.cast(ids, tf.int64), num_features, "feature_ids")
    finite_check = tf.debugging.Assert(
        tf.reduce_all(tf.math.is_finite(values)),
        ["`feature_values` must be finite"],
    )
    with tf.control_dependencies([finite_check]):
        values = tf.identity(values)
    keys = tf.cast(row_ids, tf.int64) * num_features + ids
    order = tf.argsort(keys, stable=True)
    keys, key_numbers = tf.unique(tf.gather(keys, order))
    sums = tf.math.unsorted_segment_sum(
        tf.gather(values, order), key_numbers, tf.size(keys)
    )
    ids = tf.RaggedTensor.from_value_rowids(
        tf.cast(keys % num_features, tf.int32),
        keys // num_features,
        num_rows,
        validate=False,
    )
    return ids, ids.with_values(sums)


def checked_labels(
    label_ids: tf.Tensor, num_labels: int, dropped: np.ndarray
) -> tf.Tensor:
    """Returns the candidates; fails if one is unknown or dropped."""
    label_ids = _checked(label_ids, num_labels, "candidates")
    if not len(dropped):
        return label_ids
    check = tf.debugging.Assert(
        ~tf.reduce_any(dropping.is_among(label_ids, dropped)),
        ["`candidates` must not be dropped labels. Received:", label_ids],
    )
    with tf.control_dependencies([check]):
        return tf.identity(label_ids)


def checked_k(k: tf.Tensor, max_k: int) -> tf.Tensor:
    """Returns the largest `k` of a request; fails if it is out of range."""
    k = tf.reduce_max(k)
    check = tf.debugging.Assert(
        (k >= 1) & (k <= max_k), [f"`k` must be in [1, {max_k}]. Received:", k]
    )
    with tf.control_dependencies([check]):
        return tf.identity(k)


def _checked(ids: tf.Tensor, limit: int, name: str) -> tf.Tensor:
    """Returns `ids`, with a check that runs before they are used."""
    check = tf.debugging.Assert(
        tf.reduce_all((ids >= 0) & (ids < limit)),
        [f"`{name}` must be in [0, {limit}). Received:", ids],
    )
    with tf.control_dependencies([check]):
        return tf.identity(ids)
