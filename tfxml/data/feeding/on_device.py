"""Copies batches to the device before it needs them.

tf.data passes ragged rows as variants, and TensorFlow copies only the handle of
such a variant: the rows stay on the host until an operation needs them. So
batches are sent as plain tensors and put together in the step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tfxml.data.feeding import pipeline


class RaggedParts(NamedTuple):
    """The two plain tensors of a ragged tensor."""

    values: tf.Tensor
    row_splits: tf.Tensor


def distribute(
    strategy: tf.distribute.Strategy,
    make_dataset: Callable[[tf.distribute.InputContext], tf.data.Dataset],
) -> tf.data.Dataset | tf.distribute.DistributedDataset:
    """Returns a strategy's batches in parts, on its replicas' devices.

    All strategies but the default one copy plain tensors ahead themselves.
    The default strategy's batches are copied to the first accelerator, and are
    left as they are if there is none.

    Args:
        strategy: any but a parameter server's. Do not call this inside its
            scope, where it would be mistaken for the default one.
        make_dataset: from an input context to a data set of `pipeline.Batch`.
    """
    if strategy is not tf.distribute.get_strategy():
        return strategy.distribute_datasets_from_function(
            lambda context: _in_parts(make_dataset(context))
        )
    dataset = make_dataset(tf.distribute.InputContext())
    accelerators = tf.config.list_logical_devices("GPU")
    return (
        prefetched(dataset, accelerators[0].name) if accelerators else dataset
    )


def prefetched(dataset: tf.data.Dataset, device: str) -> tf.data.Dataset:
    """Returns a data set's batches in parts, copied to a device ahead."""
    return _in_parts(dataset).apply(
        tf.data.experimental.prefetch_to_device(device)
    )


def whole(batch: pipeline.Batch) -> pipeline.Batch:
    """Returns a batch of `distribute` with its ragged rows put together."""
    return _with_rows(batch, _joined)


def _in_parts(dataset: tf.data.Dataset) -> tf.data.Dataset:
    @tf.autograph.experimental.do_not_convert  # which takes seconds
    def cut(batch):
        return _with_rows(batch, _cut)

    return dataset.map(cut)


def _with_rows(batch: pipeline.Batch, change: Callable) -> pipeline.Batch:
    """Returns a batch with its inputs and its label ids changed."""
    return batch._replace(
        inputs={name: change(rows) for name, rows in batch.inputs.items()},
        label_ids=change(batch.label_ids),
    )


def _cut(rows: tf.RaggedTensor | tf.Tensor) -> RaggedParts | tf.Tensor:
    if isinstance(rows, tf.RaggedTensor):
        return RaggedParts(rows.values, rows.row_splits)
    return rows


def _joined(
    rows: RaggedParts | tf.RaggedTensor | tf.Tensor,
) -> tf.RaggedTensor | tf.Tensor:
    if isinstance(rows, RaggedParts):
        return tf.RaggedTensor.from_row_splits(*rows, validate=False)
    return rows
