"""A source's tensors on the workers of a parameter server cluster."""

from __future__ import annotations

from collections.abc import Iterator

import tensorflow as tf

from tfxml.data.feeding import pipeline


def send_tensors(
    coordinator: tf.distribute.coordinator.ClusterCoordinator,
    source: pipeline.Source,
) -> Iterator[tuple[tf.Tensor, ...]]:
    """Returns an iterator over (0, *source.tensors), held by each worker.

    They are sent once, and again to a worker that was restarted.
    """

    def dataset():
        # The number is for sources that compute their rows and have no tensors.
        tensors = (tf.constant(0), *source.tensors)
        return tf.data.Dataset.from_tensors(tensors).repeat()

    return iter(coordinator.create_per_worker_dataset(dataset))
