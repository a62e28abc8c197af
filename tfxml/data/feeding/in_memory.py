"""A split held in memory in compressed sparse row layout."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfxml.data import inputs
from tfxml.data import instances as instances_lib

# n rows of a batch, N instances, D features, L labels


class InMemorySource:
    """Gives any rows of a split as ragged tensors, as TensorFlow ops."""

    def __init__(
        self,
        instances: instances_lib.Instances,
        num_features: int,
        num_labels: int,
    ):
        self.instances = instances
        self.num_instances = instances.num_instances
        self.num_features = num_features
        self.num_labels = num_labels
        with tf.device("CPU"):
            self.tensors = (
                tf.constant(instances.feature_splits),
                tf.constant(instances.feature_ids),
                tf.constant(instances.feature_values),
                tf.constant(instances.label_splits),
                tf.constant(instances.label_ids),
            )

    def rows(
        self, indices: tf.Tensor, tensors: tuple | None = None
    ) -> tuple[dict[str, tf.RaggedTensor], tf.RaggedTensor]:
        """Returns the named inputs and the label ids, [n, None] each.

        `tensors` stand in for `self.tensors`: copies on another machine.
        """
        tensors = self.tensors if tensors is None else tensors
        feature_splits, feature_ids, feature_values = tensors[:3]
        label_splits, label_ids = tensors[3:]
        features = _row_positions(feature_splits, indices)
        labels = _row_positions(label_splits, indices)
        found = inputs.features(
            features.with_values(tf.gather(feature_ids, features.values)),
            features.with_values(tf.gather(feature_values, features.values)),
        )
        return found, labels.with_values(tf.gather(label_ids, labels.values))

    def label_counts(self) -> np.ndarray:
        """Returns in how many instances each label occurs, [L] int64."""
        return self.instances.label_counts(self.num_labels)

    def row_lengths(self) -> np.ndarray:
        """Returns how many features each instance has, [N] int32."""
        return np.diff(self.instances.feature_splits).astype(np.int32)

    def max_lengths(self) -> tuple[int, int]:
        """Returns the most features and the most labels of an instance."""
        return (
            int(np.diff(self.instances.feature_splits).max(initial=0)),
            int(np.diff(self.instances.label_splits).max(initial=0)),
        )


def _row_positions(splits: tf.Tensor, indices: tf.Tensor) -> tf.RaggedTensor:
    """Returns the flat positions of the entries of each row, [n, None]."""
    return tf.ragged.range(
        tf.gather(splits, indices), tf.gather(splits, indices + 1)
    )
