"""Some rows of another source."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfxml.data import inputs
from tfxml.data.feeding import pipeline

# n rows of a batch, N instances of the subset

_CHUNK = 4096  # instances at a time in a streaming pass


class SubsetSource:
    """The rows of a source at `indices`, [N] int64, in that order."""

    def __init__(self, source: pipeline.Source, indices: np.ndarray):
        self._source = source
        self.num_instances = len(indices)
        self.num_features = source.num_features
        self.num_labels = source.num_labels
        with tf.device("CPU"):
            self.tensors = (tf.constant(indices, tf.int64), *source.tensors)

    def rows(
        self, indices: tf.Tensor, tensors: tuple | None = None
    ) -> tuple[dict[str, tf.RaggedTensor], tf.RaggedTensor]:
        """Returns the inputs by name, and the label ids, [n, None] each.

        `tensors` replace `self.tensors`: copies on another machine.
        """
        source_rows, *source_tensors = (
            self.tensors if tensors is None else tensors
        )
        return self._source.rows(
            tf.gather(source_rows, indices), tuple(source_tensors)
        )

    def weights(
        self, indices: tf.Tensor, tensors: tuple | None = None
    ) -> tf.Tensor:
        """Returns how much each instance counts in training, [n] float32."""
        source_rows, *source_tensors = (
            self.tensors if tensors is None else tensors
        )
        return self._source.weights(
            tf.gather(source_rows, indices), tuple(source_tensors)
        )

    def label_counts(self) -> np.ndarray:
        """Returns in how many instances each label occurs, [L] int64."""
        counts = np.zeros(self.num_labels, np.int64)
        for first in range(0, self.num_instances, _CHUNK):
            last = min(first + _CHUNK, self.num_instances)
            _, labels = self.rows(tf.range(first, last, dtype=tf.int64))
            np.add.at(counts, labels.flat_values.numpy(), 1)
        return counts

    def row_lengths(self) -> np.ndarray:
        """Returns how many features each instance has, [N] int32."""
        return self._source.row_lengths()[self.tensors[0].numpy()]

    def own_labels(self) -> np.ndarray | None:
        """Returns the label that each instance is named after, [N] int32.

        -1 where there is none; None where texts were not read with their
        labels' names.
        """
        found = self._source.own_labels()
        return None if found is None else found[self.tensors[0].numpy()]

    def max_lengths(self) -> inputs.MaxLengths:
        """Returns bounds on the entries of an instance."""
        return self._source.max_lengths()
