"""Batches that are on the device which takes them before it asks.

tf.data hands ragged rows on as variants, and of a variant of ragged rows
TensorFlow copies the handle alone: the rows stay on the host until an operation
needs them. So batches travel as plain tensors, and are put together in the
step.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfxml.data.feeding import pipeline


def distribute(
    strategy: tf.distribute.Strategy,
    make_dataset: Callable[[tf.distribute.InputContext], tf.data.Dataset],
):
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


def whole(element: pipeline.Batch | tuple[tf.Tensor, ...]) -> pipeline.Batch:
    """Returns the batch of an element of what `distribute` returns."""
    if isinstance(element, pipeline.Batch):
        return element
    if len(element) == len(pipeline.Batch._fields):
        return pipeline.Batch(*element)
    *rows, weights, instances = element
    ragged = (
        tf.RaggedTensor.from_row_splits(values, splits, validate=False)
        for values, splits in zip(rows[::2], rows[1::2], strict=True)
    )
    return pipeline.Batch(*ragged, weights, instances)


def _in_parts(dataset: tf.data.Dataset) -> tf.data.Dataset:
    return dataset.map(_parts)


def _parts(batch: pipeline.Batch) -> tuple[tf.Tensor, ...]:
    """Returns a batch's tensors: of ragged rows the values and the splits."""
    found = []
    for part in batch:
        if isinstance(part, tf.RaggedTensor):
            found += [part.values, part.row_splits]
        else:
            found.append(part)
    return tuple(found)
