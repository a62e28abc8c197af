"""Batches of rows in memory, in an order of their own each epoch.

# N instances, n instances of a batch, E dense features
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfxml.data import inputs
from tfxml.data.feeding import in_memory, pipeline


def of(
    source: in_memory.InMemorySource,
    batch_size: int,
    beside: Mapping[str, np.ndarray] | None,
    seed: int | None,
    padded: bool,
) -> tf.data.Dataset:
    """Returns batches of a source.

    Args:
        source: the rows, their labels and their weights.
        batch_size: of the global batch.
        beside: dense features by name, [N, E] each.
        seed: of the order; None: the rows' own.
        padded: whether rows are padded to the longest of all.
    """
    _check_beside(beside or {}, source.num_instances)
    number = source.num_instances
    order = tf.data.Dataset.range(number)
    if seed is not None:
        order = _epochs().flat_map(
            lambda epoch: tf.data.Dataset.from_tensor_slices(
                pipeline.shuffled(source, seed, epoch)(
                    tf.range(number, dtype=tf.int64)
                )
            )
        )

    @tf.autograph.experimental.do_not_convert  # which takes seconds
    def batch(indices):
        named, labels = source.rows(indices)
        if padded:
            named, labels = _padded(source, named, labels)
        for name, array in (beside or {}).items():
            named[name] = _rows_of(array, indices)
        if source.instances.weights is None:
            return named, labels
        return named, labels, source.weights(indices)

    steps = -(-number // batch_size)
    return (
        order.batch(batch_size)
        .apply(tf.data.experimental.assert_cardinality(steps))
        .map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def _epochs() -> tf.data.Dataset:
    """Returns a data set whose one element says how often it was begun."""
    begun = itertools.count()
    return tf.data.Dataset.from_generator(
        lambda: iter([next(begun)]),
        output_signature=tf.TensorSpec([], tf.int64),
    )


def _padded(source: in_memory.InMemorySource, named: dict, labels):
    """Returns rows and labels as rectangles of a width for all batches."""
    widths = source.max_lengths()

    def dense(rows: tf.RaggedTensor, default, width: int) -> tf.Tensor:
        width = max(width, 1)
        return tf.ensure_shape(
            rows.to_tensor(default, shape=[None, width]), [None, width]
        )

    rectangles = {
        name: dense(rows, inputs.PADDING[name], widths.of_input(name))
        for name, rows in named.items()
    }
    return rectangles, dense(labels, -1, widths.labels)


def _check_beside(beside: Mapping[str, np.ndarray], number: int) -> None:
    for name, array in beside.items():
        if array.ndim != 2 or len(array) != number:
            raise ValueError(
                f"`beside` must hold arrays [{number}, E]. Received: "
                f"{name!r} of shape {array.shape}"
            )


def _rows_of(array: np.ndarray, indices: tf.Tensor) -> tf.Tensor:
    """Returns rows of an array that stays where it is, [n, E] float32."""
    rows = tf.numpy_function(
        lambda chosen: np.asarray(array[chosen], np.float32),
        [indices],
        tf.float32,
    )
    return tf.ensure_shape(rows, [None, array.shape[1]])
