"""A split held in memory in compressed sparse row layout."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from tfxml.data import inputs
from tfxml.data import instances as instances_lib

# n rows of a batch, N instances, D features, L labels


class InMemorySource:
    """Returns any rows of a split as ragged tensors, in TensorFlow ops.

    Args:
        instances: the split.
        num_features: D.
        num_labels: L.
    """

    def __init__(
        self,
        instances: instances_lib.Instances,
        num_features: int,
        num_labels: int,
    ):
        self.num_instances = instances.num_instances
        self.num_features = num_features
        self.num_labels = num_labels
        names = [
            "feature_splits",
            "feature_ids",
            "feature_values",
            "label_splits",
            "label_ids",
        ]
        if instances.has_tokens:
            names += ["token_splits", "token_ids"]
        if instances.weights is not None:
            names.append("weights")
        with tf.device("CPU"):
            self.tensors = tuple(
                tf.constant(getattr(instances, name)) for name in names
            )
        self.instances = instances
        if tf.executing_eagerly():  # a graph's tensors have no arrays
            # Arrays and tensors share memory: nothing is held twice.
            views = map(np.asarray, self.tensors)
            self.instances = dataclasses.replace(
                instances, **dict(zip(names, views, strict=True))
            )

    def rows(
        self, indices: tf.Tensor, tensors: tuple | None = None
    ) -> tuple[dict[str, tf.RaggedTensor], tf.RaggedTensor]:
        """Returns the inputs by name, and the label ids, [n, None] each.

        `tensors` replace `self.tensors`: copies on another machine.
        """
        tensors = self.tensors if tensors is None else tensors
        feature_splits, feature_ids, feature_values = tensors[:3]
        label_splits, label_ids, *token_tensors = tensors[3:]
        positions = _row_positions(feature_splits, indices)
        rows = inputs.features(
            positions.with_values(tf.gather(feature_ids, positions.values)),
            positions.with_values(tf.gather(feature_values, positions.values)),
        )
        if self.instances.has_tokens:
            token_splits, token_ids = token_tensors[:2]
            rows[inputs.TOKEN_IDS] = _rows(token_splits, token_ids, indices)
        return rows, _rows(label_splits, label_ids, indices)

    def weights(
        self, indices: tf.Tensor, tensors: tuple | None = None
    ) -> tf.Tensor:
        """Returns how much each instance counts in training, [n] float32."""
        if self.instances.weights is None:
            return tf.ones(tf.shape(indices), tf.float32)
        tensors = self.tensors if tensors is None else tensors
        return tf.gather(tensors[-1], indices)

    def label_counts(self) -> np.ndarray:
        """Returns in how many instances each label occurs, [L] int64."""
        return self.instances.label_counts(self.num_labels)

    def row_lengths(self) -> np.ndarray:
        """Returns how many features each instance has, [N] int32."""
        return np.diff(self.instances.feature_splits).astype(np.int32)

    def own_labels(self) -> np.ndarray | None:
        """Returns the label that each instance is named after, [N] int32.

        -1 where there is none; None where texts were not read with their
        labels' names.
        """
        return self.instances.own_labels

    def max_lengths(self) -> inputs.MaxLengths:
        """Returns the most features, labels and tokens of an instance."""
        all_splits = [
            self.instances.feature_splits,
            self.instances.label_splits,
        ]
        if self.instances.has_tokens:
            all_splits.append(self.instances.tokens()[0])
        return inputs.MaxLengths(
            *(int(np.diff(splits).max(initial=0)) for splits in all_splits)
        )


def _rows(
    splits: tf.Tensor, ids: tf.Tensor, indices: tf.Tensor
) -> tf.RaggedTensor:
    """Returns the ids of each row, [n, None]."""
    positions = _row_positions(splits, indices)
    return positions.with_values(tf.gather(ids, positions.values))


def _row_positions(splits: tf.Tensor, indices: tf.Tensor) -> tf.RaggedTensor:
    """Returns the flat positions of the entries of each row, [n, None]."""
    return tf.ragged.range(
        tf.gather(splits, indices), tf.gather(splits, indices + 1)
    )
