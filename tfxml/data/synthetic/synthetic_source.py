"""A generated data set whose rows are a pure function of seed and indices.

TensorFlow ops make the rows where they are needed: eagerly, in tf.data or on a
remote worker. The set is never in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tfxml.data import inputs
from tfxml.data.synthetic import planted_model

# n instances in a batch, L labels, S candidate labels of an instance

_MAX_INT32 = 2**31 - 1
_CHUNK = 4096  # instances at a time in a streaming pass


class SyntheticSource:
    """Instances `first_instance + [0, num_instances)` of one planted model.

    Sources that differ only in these two arguments share the model: disjoint
    ranges are a training and a test set. See `planted_model` for the model and
    the other arguments.
    """

    def __init__(
        self,
        num_instances: int,
        num_labels: int,
        seed: int = 0,
        first_instance: int = 0,
        dependence: float = 0.0,
        labels_per_topic: int = 4,
        features_per_topic: int = 8,
        exponent: float = 0.875,
    ):
        num_instances = _check_int("num_instances", num_instances, 1, 2**62)
        num_labels = _check_int("num_labels", num_labels, 8, _MAX_INT32)
        seed = _check_int("seed", seed, 0, 2**63 - 1)
        first_instance = _check_int("first_instance", first_instance, 0, 2**62)
        labels_per_topic = _check_int(
            "labels_per_topic", labels_per_topic, 1, 16
        )
        features_per_topic = _check_int(
            "features_per_topic", features_per_topic, 2, 64
        )
        if not 0.0 <= dependence <= 1.0:
            raise ValueError(
                "`dependence` must be in [0, 1]. "
                f"Received: dependence={dependence}"
            )
        self._model = planted_model.PlantedModel(
            num_labels,
            seed,
            dependence,
            labels_per_topic,
            features_per_topic,
            exponent,
        )
        self._first_instance = first_instance
        # Traced once, for all pipelines.
        indices = tf.TensorSpec([None], tf.int64)
        self._rows, self._labels = (
            tf.function(function, input_signature=[indices], autograph=False)
            for function in (self._make_rows, self._make_labels)
        )
        self.tensors = ()  # instances are computed, not read
        self.num_instances = num_instances
        self.num_labels = num_labels
        self.num_features = self._model.num_features
        if self.num_features > _MAX_INT32:
            raise ValueError(
                "`num_labels` / `labels_per_topic` * `features_per_topic` "
                f"must leave at most {_MAX_INT32} features. Received: "
                f"num_labels={num_labels}, "
                f"labels_per_topic={labels_per_topic}, "
                f"features_per_topic={features_per_topic}: "
                f"{self.num_features} features"
            )

    def rows(
        self, indices: tf.Tensor, tensors: tuple | None = None
    ) -> tuple[dict[str, tf.RaggedTensor], tf.RaggedTensor]:
        """Returns the inputs by name, and the label ids, of instances.

        A feature's value is its count; then rows are scaled to unit L2 norm.

        Args:
            indices: [n] int64 in [0, num_instances), in any order.
            tensors: none: instances are computed, not read.

        Returns:
            Feature ids int32, feature values float32, and label ids int32,
            each [n, (ragged)] with int64 row splits. The ids of a row ascend
            and are distinct.
        """
        feature_ids, feature_values, label_ids = self._rows(_vector(indices))
        return inputs.features(feature_ids, feature_values), label_ids

    def marginals(
        self, indices: tf.Tensor
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Returns the labels that instances may have, and p(label | x).

        Returns:
            int32 ids, ascending and distinct, and float64 probabilities in
            (0, 1), each [n, (ragged)]. All other labels have probability 0.
        """
        label_ids, p, _ = self._labels(_vector(indices))
        return _ragged(tf.cast(label_ids, tf.int32), p > 0), _ragged(p, p > 0)

    def optimal_precision(
        self, indices: tf.Tensor, ks: Sequence[int]
    ) -> dict[str, float]:
        """Returns the expected P@k of the best ranking, by p(label | x).

        It is the mean over instances of (sum of the k largest p) / k, under the
        keys "P@1" and so on.
        """
        return self._precision(indices, ks, lambda p, is_on: p)

    def realised_precision(
        self, indices: tf.Tensor, ks: Sequence[int]
    ) -> dict[str, float]:
        """Returns the P@k of the same ranking on the labels drawn in `rows`."""
        return self._precision(
            indices, ks, lambda p, is_on: tf.cast(is_on, p.dtype)
        )

    def weights(
        self, indices: tf.Tensor, tensors: tuple | None = None
    ) -> tf.Tensor:
        """Returns how much each instance counts in training: 1 each, [n]."""
        del tensors
        return tf.ones(tf.shape(indices), tf.float32)

    def label_counts(self) -> np.ndarray:
        """Returns in how many instances each label occurs, [L] int64."""
        counts = np.zeros(self.num_labels, np.int64)

        def chunk_labels(indices):
            label_ids, _, is_on = self._labels(indices)
            return tf.boolean_mask(label_ids, is_on)

        chunks = tf.data.Dataset.range(self.num_instances).batch(_CHUNK)
        for label_ids in chunks.map(chunk_labels):
            np.add.at(counts, label_ids.numpy(), 1)
        return counts

    def row_lengths(self) -> np.ndarray:
        """Returns how many features each instance has, [N] int32."""

        def chunk_lengths(indices):
            instances = self._instances(indices)
            topics, present = self._model.topics(instances)
            _, counts = self._model.features(instances, topics, present)
            return tf.math.count_nonzero(counts, axis=1, dtype=tf.int32)

        chunks = tf.data.Dataset.range(self.num_instances).batch(_CHUNK)
        lengths = [chunk.numpy() for chunk in chunks.map(chunk_lengths)]
        return np.concatenate(lengths)

    def own_labels(self) -> np.ndarray | None:
        """Returns None: what rows are named after is not known."""
        return None

    def max_lengths(self) -> inputs.MaxLengths:
        """Returns the most features and labels that an instance can have."""
        instances = self._instances(tf.zeros([1], tf.int64))
        topics, present = self._model.topics(instances)
        ids, _ = self._model.features(instances, topics, present)
        label_ids, _, _ = self._model.labels(instances, topics, present)
        return inputs.MaxLengths(ids.shape[1], label_ids.shape[1])

    def label_name(self, label_id: int) -> str:
        """Returns a readable name, "topic-17/label-2" or "general-3"."""
        label_id = _check_int("label_id", label_id, 0, self.num_labels - 1)
        return self._model.label_name(label_id)

    def _instances(self, indices: tf.Tensor) -> tf.Tensor:
        """Returns the instances' numbers in the model; checks the indices."""
        is_inside = (indices >= 0) & (indices < self.num_instances)
        tf.debugging.Assert(
            tf.reduce_all(is_inside),
            [
                "`indices` must be in "
                f"[0, {self.num_instances}). Received: indices=",
                indices,
            ],
        )
        return indices + self._first_instance

    def _make_rows(self, indices: tf.Tensor):
        instances = self._instances(indices)
        topics, present = self._model.topics(instances)
        ids, counts = self._model.features(instances, topics, present)
        label_ids, _, is_on = self._model.labels(instances, topics, present)
        is_present = counts > 0
        return (
            _ragged(tf.cast(ids, tf.int32), is_present),
            _ragged(_unit_norm(counts), is_present),
            _ragged(tf.cast(label_ids, tf.int32), is_on),
        )

    def _make_labels(
        self, indices: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        instances = self._instances(indices)
        return self._model.labels(instances, *self._model.topics(instances))

    def _precision(
        self,
        indices: tf.Tensor,
        ks: Sequence[int],
        gain: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    ) -> dict[str, float]:
        """Returns the mean of the gains at the k largest p, for every k."""
        ks = [_check_int("ks", k, 1, self.num_labels) for k in ks]
        indices = tf.convert_to_tensor(indices, tf.int64)
        num_instances = int(tf.size(indices))
        if not num_instances:
            raise ValueError("`indices` must not be empty.")

        def gains_by_rank(chunk):  # [S]
            _, p, is_on = self._labels(chunk)
            order = tf.math.top_k(p, p.shape[1]).indices
            gains = tf.gather(gain(p, is_on), order, batch_dims=1)
            return tf.reduce_sum(gains, axis=0)

        chunks = tf.data.Dataset.from_tensor_slices(indices).batch(_CHUNK)
        gains = sum(g.numpy() for g in chunks.map(gains_by_rank))
        totals = np.cumsum(gains)
        return {
            f"P@{k}": float(totals[min(k, len(totals)) - 1])
            / (k * num_instances)
            for k in ks
        }


def _unit_norm(counts: tf.Tensor) -> tf.Tensor:
    """Returns each row of counts scaled to unit norm, float32.

    Sums of integers are exact in any order. A root of a quotient, because
    TensorFlow rewrites a quotient by a root to a product with an inexact
    reciprocal root.
    """
    squares = tf.cast(counts * counts, tf.float64)
    total = tf.reduce_sum(squares, axis=1, keepdims=True)
    return tf.cast(tf.sqrt(squares / total), tf.float32)


def _vector(indices) -> tf.Tensor:
    """Returns the indices as a tensor, [n] int64."""
    return tf.ensure_shape(tf.convert_to_tensor(indices, tf.int64), [None])


def _ragged(values: tf.Tensor, is_kept: tf.Tensor) -> tf.RaggedTensor:
    """Returns the kept values of each row, [n, (ragged)]."""
    lengths = tf.reduce_sum(tf.cast(is_kept, tf.int64), axis=1)
    return tf.RaggedTensor.from_row_lengths(
        tf.boolean_mask(values, is_kept), lengths, validate=False
    )


def _check_int(name: str, value: int, low: int, high: int) -> int:
    if not isinstance(value, (int, np.integer)) or not low <= value <= high:
        raise ValueError(
            f"`{name}` must be an integer in [{low}, {high}]. "
            f"Received: {name}={value}"
        )
    return int(value)
