"""The rows of one source, then those of another."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfxml.data import inputs as inputs_lib
from tfxml.data import own_labels
from tfxml.data.feeding import pipeline

# n rows of a batch


class JoinedSource:
    """The rows of `first`, then those of `second`.

    Args:
        first: its rows have the indices 0 .. N - 1.
        second: its rows have the indices from N on. The features, labels and
            names of inputs are those of `first`.
        weight: multiplies the weights of the rows of `second`.
    """

    def __init__(
        self, first: pipeline.Source, second: pipeline.Source, weight: float
    ):
        self._first, self._second = first, second
        self._weight = weight
        self.num_instances = first.num_instances + second.num_instances
        self.num_features = first.num_features
        self.num_labels = first.num_labels
        self.tensors = (*first.tensors, *second.tensors)

    def rows(
        self, indices: tf.Tensor, tensors: tuple | None = None
    ) -> tuple[dict[str, tf.RaggedTensor], tf.RaggedTensor]:
        """Returns the inputs by name, and the label ids, [n, None] each.

        `tensors` replace `self.tensors`: copies on another machine.
        """
        places, (first, second) = self._places(indices)
        own, others = self._tensors(tensors)
        first_inputs, first_labels = self._first.rows(first, own)
        second_inputs, second_labels = self._second.rows(second, others)

        def merged(rows, other_rows):
            return tf.gather(tf.concat([rows, other_rows], 0), places)

        return (
            {
                name: merged(rows, second_inputs[name])
                for name, rows in first_inputs.items()
            },
            merged(first_labels, second_labels),
        )

    def weights(
        self, indices: tf.Tensor, tensors: tuple | None = None
    ) -> tf.Tensor:
        """Returns how much each instance counts in training, [n] float32."""
        places, (first, second) = self._places(indices)
        own, others = self._tensors(tensors)
        of_second = self._weight * self._second.weights(second, others)
        both = tf.concat([self._first.weights(first, own), of_second], 0)
        return tf.gather(both, places)

    def label_counts(self) -> np.ndarray:
        """Returns in how many instances each label occurs, [L] int64."""
        return self._first.label_counts() + self._second.label_counts()

    def row_lengths(self) -> np.ndarray:
        """Returns how many features each instance has, [N] int32."""
        return np.concatenate(
            [self._first.row_lengths(), self._second.row_lengths()]
        )

    def own_labels(self) -> np.ndarray | None:
        """Returns the label that each instance is named after, [N] int32.

        -1 where there is none; None where texts were not read with their
        labels' names.
        """
        first, second = self._first.own_labels(), self._second.own_labels()
        if first is None:
            return None
        if second is None:
            number = self._second.num_instances
            second = np.full(number, own_labels.NONE, np.int32)
        return np.concatenate([first, second])

    def max_lengths(self) -> inputs_lib.MaxLengths:
        """Returns the most entries of an instance, or bounds on them."""
        both = zip(
            self._first.max_lengths(), self._second.max_lengths(), strict=True
        )
        return inputs_lib.MaxLengths(*map(max, both))

    def _places(
        self, indices: tf.Tensor
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
        """Returns where the batch's rows stand after both are read, [n].

        And the indices of both: of the first's rows come first.
        """
        is_second = indices >= self._first.num_instances
        first_places = tf.where(~is_second)[:, 0]
        second_places = tf.where(is_second)[:, 0]
        places = tf.math.invert_permutation(
            tf.concat([first_places, second_places], 0)
        )
        second = tf.gather(indices, second_places) - self._first.num_instances
        return places, (tf.gather(indices, first_places), second)

    def _tensors(
        self, tensors: tuple | None
    ) -> tuple[tuple | None, tuple | None]:
        """Returns the tensors of both sources."""
        if tensors is None:
            return None, None
        number = len(self._first.tensors)
        return tensors[:number], tensors[number:]
