"""Batches that are on the device which takes them before it asks.

tf.data hands ragged rows on as variants, and of a variant of ragged rows
TensorFlow copies the handle alone: the rows stay on the host until an operation
needs them. So batches travel as plain tensors, and are put together in the
step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tfxml.data.feeding import pipeline


class RaggedParts(NamedTuple):
    """A ragged tensor's two plain ones."""

    values: tf.Tensor
    row_splits: tf.Tensor


def distribute(
    strategy: tf.distribute.Strategy,
    make_dataset: Callable[[tf.distribute.InputContext], tf.data.Dataset],
) -> tf.data.Dataset | tf.distribute.DistributedDataset:
    """Returns a strategy's batches in parts, on its replicas' devices.

    A strategy copies plain tensors ahead by itself, but for the default one:
    its batches are copied to the first accelerator, and are left as they are
    where there is none.

    Args:
        strategy: any that is not a parameter server's; outside of its scope,
            where it would be taken for the default one.
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
    return dataset.map(lambda batch: _with_rows(batch, _cut))


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
