"""The head that asks which labels' training instances an instance is like.

# N instances, D features, E features of all rows, L labels, K top labels,
# P pages of 32 labels, F weights a label

A label's centroid is the sum of the rows of its positives, scaled to length 1,
and its score the cosine between it and an instance (Rocchio, "Relevance
feedback in information retrieval", 1971). Nothing is trained: it takes one
look at the rows, which a label with a single positive needs as little more of
as one with thousands. Its best labels are a shortlist for `refiner`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfxml.mach import dropping, selection
from tfxml.models import sparse_rows

PAGE = 32  # labels of a feature that lie together
_AT_ONCE = 32  # instances looked at together
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
        rows = encoded[0]
        return _logits_of(self._cosines(rows, 0, tf.size(rows.splits) - 1))

    def top_k(self, encoded: Sequence, k: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best labels' scores and ids, [N, K] each."""
        rows = encoded[0]
        k = min(k, self.num_labels - len(self.dropped))
        num_rows = tf.size(rows.splits) - 1
        num_chunks = tf.maximum((num_rows + _AT_ONCE - 1) // _AT_ONCE, 1)
        is_dropped = np.isin(np.arange(self.num_labels), self.dropped)

        def add(number, scores, ids):
            first = number * _AT_ONCE
            last = tf.minimum(first + _AT_ONCE, num_rows)
            cosines = self._cosines(rows, first, last)
            if is_dropped.any():
                cosines = tf.where(is_dropped, -float("inf"), cosines)
            best, places = selection.top_k(cosines, k)
            return (
                number + 1,
                scores.write(number, best),
                ids.write(number, places),
            )

        scores, ids = (
            tf.TensorArray(
                dtype, num_chunks, infer_shape=False, element_shape=[None, k]
            )
            for dtype in (tf.float32, tf.int32)
        )
        _, scores, ids = tf.while_loop(
            lambda number, *_: number < num_chunks, add, (0, scores, ids)
        )
        best = _logits_of(tf.ensure_shape(scores.concat(), [None, k]))
        return self.scores(best, best), tf.ensure_shape(ids.concat(), [None, k])

    def scores(self, logits: tf.Tensor, estimates: tf.Tensor) -> tf.Tensor:
        """Returns what labels of these estimates, logits, are shown with."""
        return tf.nn.sigmoid(estimates)

    def _cosines(self, rows: sparse_rows.RaggedRows, first, last) -> tf.Tensor:
        """Returns the cosines of the rows from `first` to before `last`."""
        splits = rows.splits[first : last + 1]
        some = slice(splits[0], splits[-1])
        feature_ids = rows.feature_ids[some]
        owners = tf.searchsorted(
            splits[1:],
            tf.range(splits[0], splits[-1]),
            side="right",
            out_type=tf.int32,
        )
        starts = tf.gather(self.splits.value, feature_ids)
        ends = tf.gather(self.splits.value, feature_ids + 1)
        runs = tf.raw_ops.RaggedRange(starts=starts, limits=ends, deltas=1)
        pages = runs.rt_dense_values
        # Which entry of the rows each page belongs to.
        entries = tf.searchsorted(
            runs.rt_nested_splits[1:],
            tf.range(tf.size(pages, tf.int64)),
            side="right",
        )
        parts = tf.gather(self.kernel.value, pages)
        parts *= tf.gather(rows.values[some], entries)[:, None]
        places = tf.gather(self.labels.value, pages)
        places += tf.gather(owners * self.num_labels, entries)[:, None]
        number = tf.cast(last - first, tf.int32)
        cosines = tf.math.unsorted_segment_sum(
            parts, places, number * self.num_labels
        )
        return tf.reshape(cosines, [number, self.num_labels])


def _logits_of(cosines: tf.Tensor) -> tf.Tensor:
    return _SLOPE * (cosines - _MIDDLE)
