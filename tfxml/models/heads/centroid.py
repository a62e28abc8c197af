"""The head that asks which labels' training instances an instance is like.

# N instances, D features, E features of all rows, L labels, K top labels,
# P pages of 32 labels, F weights a label

A label's centroid is the sum of the rows of its positives, divided by its
length, and its score the cosine between it and an instance (Rocchio, "Relevance
feedback in information retrieval", 1971). Nothing is trained: it takes one
look at the rows, which a label with a single positive needs as little more of
as one with thousands. Its best labels are a candidates for `reranker`. Divided
by a smaller power of the length scores are larger for frequent labels, which a
candidates may want.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfxml.models import sparse_rows
from tfxml.topk import dropping, selection

PAGE = 32  # labels of a feature that lie together
# A cosine of a half is even odds; from 0 to 1 the logit goes from -10 to 10.
_SLOPE = 20.0
_MIDDLE = 0.5


class Table(NamedTuple):
    """The centroids by feature, whose labels lie in pages of 32."""

    splits: np.ndarray  # [D + 1] int32: where a feature's pages begin
    labels: np.ndarray  # [P, 32] int32
    weights: np.ndarray  # [P, 32]; 0: no label


def room(num_labels: int, num_features: int, mean_features: int) -> int:
    """Returns P, for how many pages there is room."""
    return num_labels * mean_features // PAGE + num_features


@keras.saving.register_keras_serializable(package="tfxml")
class CentroidHead(keras.layers.Layer):
    """The cosines between instances and labels' centroids.

    Its weights are not trained by gradients: `training.centroids` finds them,
    and `assign` puts them here.

    Args:
        num_labels: L.
        num_features: D.
        mean_features: F, for how many weights a label there is room, on
            average.
        dropped: ids of labels that are never answered.
    """

    def __init__(
        self,
        num_labels: int,
        num_features: int,
        mean_features: int,
        dropped: Sequence[int] = (),
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_labels = num_labels
        self.num_features = num_features
        self.mean_features = mean_features
        self.dropped = dropping.checked(dropped, num_labels)
        self.blocks = []  # nothing is trained step by step
        shape = room(num_labels, num_features, mean_features), PAGE

        def weight(name: str, shape: tuple, dtype: str):
            return self.add_weight(
                name=name,
                shape=shape,
                dtype=dtype,
                initializer="zeros",
                trainable=False,
            )

        self.splits = weight("splits", (num_features + 1,), "int32")
        self.labels = weight("labels", shape, "int32")
        self.kernel = weight("kernel", shape, "float32")
        self.built = True

    def assign(self, found: Table) -> None:
        """Takes the centroids from now on."""
        self.splits.assign(found.splits)
        self.labels.assign(found.labels)
        self.kernel.assign(found.weights)

    def get_config(self) -> dict:
        """Returns what makes the head again, but for its weights."""
        return {
            **super().get_config(),
            "num_labels": self.num_labels,
            "num_features": self.num_features,
            "mean_features": self.mean_features,
            "dropped": self.dropped.tolist(),
        }

    def logits(self, encoded: Sequence) -> tf.Tensor:
        """Returns [N, L].

        Args:
            encoded: one `sparse_rows.RaggedRows`.
        """
        (cosines,) = sparse_rows.map_chunks(
            lambda some: (self._cosines(some),),
            encoded[0],
            (tf.TensorSpec([None, self.num_labels]),),
        )
        return logits_of(cosines)

    def top_k(self, encoded: Sequence, k: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best labels' scores and ids, [N, K] each."""
        k = min(k, self.num_labels - len(self.dropped))
        is_dropped = np.isin(np.arange(self.num_labels), self.dropped)

        def best(some: sparse_rows.Chunk) -> tuple[tf.Tensor, tf.Tensor]:
            cosines = self._cosines(some)
            if is_dropped.any():
                cosines = tf.where(is_dropped, -float("inf"), cosines)
            return selection.top_k(cosines, k)

        cosines, ids = sparse_rows.map_chunks(
            best,
            encoded[0],
            (tf.TensorSpec([None, k]), tf.TensorSpec([None, k], tf.int32)),
        )
        logits = logits_of(cosines)
        return self.scores(logits, logits), ids

    def scores(self, logits: tf.Tensor, estimates: tf.Tensor) -> tf.Tensor:
        """Returns what labels of these estimates, logits, are shown with."""
        return tf.nn.sigmoid(estimates)

    def _cosines(self, some: sparse_rows.Chunk) -> tf.Tensor:
        """Returns the cosines of some rows, [rows, L]."""
        starts = tf.gather(self.splits.value, some.feature_ids)
        ends = tf.gather(self.splits.value, some.feature_ids + 1)
        runs = tf.raw_ops.RaggedRange(starts=starts, limits=ends, deltas=1)
        pages, splits = runs.rt_dense_values, runs.rt_nested_splits
        # Which entry of the rows each page belongs to.
        entries = tf.searchsorted(
            splits[1:], tf.range(tf.size(pages, tf.int64)), side="right"
        )
        parts = tf.gather(self.kernel.value, pages)
        parts *= tf.gather(some.values, entries)[:, None]
        # A histogram of the labels, with weights: the fastest of the ops that
        # add numbers up at given places.
        cosines = tf.raw_ops.RaggedBincount(
            splits=tf.gather(splits, some.splits) * PAGE,
            values=tf.reshape(tf.gather(self.labels.value, pages), [-1]),
            size=self.num_labels,
            weights=tf.reshape(parts, [-1]),
        )
        return tf.reshape(cosines, [some.num_rows, self.num_labels])


def logits_of(cosines: tf.Tensor) -> tf.Tensor:
    return _SLOPE * (cosines - _MIDDLE)
