"""The centroid head: ranks labels by similarity to their training instances.

# N instances, D features, E features of all rows, L labels, C given labels,
# K top labels, P pages of 32 labels, F weights a label

A label's centroid is the sum of the rows of its positives divided by its
length, and its score the cosine between it and an instance (Rocchio, "Relevance
feedback in information retrieval", 1971). Nothing is trained: one pass over the
rows is enough, for a label with a single positive as for one with thousands.
Its best labels are candidates for the re-ranker. If the sums are divided by a
smaller power of the length, frequent labels score higher, which can make better
candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfxml.models import (
    calibration,
    contract,
    forms,
    row_chunks,
    sites,
)
from tfxml.models import encoded as encoded_lib
from tfxml.models.heads import centroid_options
from tfxml.topk import dropping, selection

PAGE = 32  # labels of a feature that are stored together
# A cosine of 0.5 gives logit 0; cosines from 0 to 1 give logits from -10 to 10.
_SLOPE = 20.0
_MIDDLE = 0.5


class Table(NamedTuple):
    """The centroids by feature; a feature's labels are in pages of 32."""

    splits: np.ndarray  # [D + 1] int32: where a feature's pages begin
    labels: np.ndarray  # [P, 32] int32
    weights: np.ndarray  # [P, 32]; 0: no label


def capacity(num_labels: int, num_features: int, mean_features: int) -> int:
    """Returns P, how many pages are allocated."""
    return num_labels * mean_features // PAGE + num_features


@keras.saving.register_keras_serializable(package="tfxml")
class CentroidHead(contract.Head):
    """The cosines between instances and labels' centroids.

    Its weights are not trained by gradients: `training.solvers.centroids`
    computes them, and `assign` puts them here.

    Args:
        num_labels: L.
        num_features: D.
        mean_features: F, how many weights a label can have on average.
        dropped: ids of labels that are never answered.
        power: of the length by which the sums were divided; only described.
    """

    Options = centroid_options.CentroidOptions
    learns = contract.ONE_PASS
    reads_rows = True

    def __init__(
        self,
        num_labels: int,
        num_features: int,
        mean_features: int,
        dropped: Sequence[int] | np.ndarray = (),
        power: float = 1.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_labels = num_labels
        self.num_features = num_features
        self.mean_features = mean_features
        self.power = power
        self.dropped = dropping.checked(dropped, num_labels)
        page_shape = capacity(num_labels, num_features, mean_features), PAGE

        def weight(name: str, shape: tuple, dtype: str):
            return self.add_weight(
                name=name,
                shape=shape,
                dtype=dtype,
                initializer="zeros",
                trainable=False,
            )

        self.splits = weight("splits", (num_features + 1,), "int32")
        self.labels = weight("labels", page_shape, "int32")
        self.kernel = weight("kernel", page_shape, "float32")
        self.built = True

    @classmethod
    def create(
        cls, options: Any, site: sites.Site, loss: contract.Loss
    ) -> CentroidHead:
        """Returns the head that the options describe, still without weights."""
        del loss  # nothing is trained
        return cls(
            site.num_labels,
            site.num_features,
            options.centroid_features,
            dropped=site.dropped,
            power=options.centroid_power,
        )

    @property
    def link(self) -> str:
        """Estimates are logits."""
        return calibration.SIGMOID

    def assign(self, table: Table) -> None:
        """Sets the centroids."""
        self.splits.assign(table.splits)
        self.labels.assign(table.labels)
        self.kernel.assign(table.weights)

    def get_config(self) -> dict:
        """Returns the arguments that rebuild the head, without weights."""
        return {
            **super().get_config(),
            "num_labels": self.num_labels,
            "num_features": self.num_features,
            "mean_features": self.mean_features,
            "dropped": self.dropped.tolist(),
            "power": self.power,
        }

    def call(self, encoded: Any) -> tf.Tensor:
        """Returns logits, [N, L].

        Args:
            encoded: `row_forms.RaggedRows`.
        """
        (cosines,) = row_chunks.map_chunks(
            lambda chunk: (self._cosines(chunk),),
            encoded_lib.only(encoded),
            (tf.TensorSpec([None, self.num_labels]),),
        )
        return _logits_of(cosines)

    def label_estimates(self, encoded: Any, label_ids: tf.Tensor) -> tf.Tensor:
        """Returns the estimates that rank given labels [C], [N, C]."""
        return tf.gather(self.call(encoded), label_ids, axis=1)

    def top_k(self, encoded: Any, k: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best labels' logits and ids, [N, K], best first."""
        k = min(k, self.num_answers)
        is_dropped = np.isin(np.arange(self.num_labels), self.dropped)

        def best(chunk: row_chunks.Chunk) -> tuple[tf.Tensor, tf.Tensor]:
            cosines = self._cosines(chunk)
            if is_dropped.any():
                cosines = tf.where(is_dropped, -float("inf"), cosines)
            return selection.top_k(cosines, k)

        cosines, label_ids = row_chunks.map_chunks(
            best,
            encoded_lib.only(encoded),
            (tf.TensorSpec([None, k]), tf.TensorSpec([None, k], tf.int32)),
        )
        return _logits_of(cosines), label_ids

    def form(self) -> forms.InvertedIndex:
        """Returns its serving form."""
        return forms.InvertedIndex(
            self.num_labels,
            self.splits,
            self.labels,
            self.kernel,
            _SLOPE,
            _MIDDLE,
            self.link,
            self.dropped,
        )

    @property
    def score_note(self) -> str:
        """The model card's sentence about the scores."""
        return (
            "Scores are sigmoids of scaled products of an instance with the "
            "sums of labels' training instances: use them to rank, not as "
            "probabilities."
        )

    def describe(self) -> str:
        """Returns a few words for the console and the model card."""
        power = 1 - self.power
        return (
            f"cosines to {self.num_labels:,} centroids of "
            f"{self.mean_features:,} weights"
            + f", times their lengths to the power of {power:.3g}"
            * (self.power != 1)
        )

    def _cosines(self, chunk: row_chunks.Chunk) -> tf.Tensor:
        """Returns the cosines of some rows, [rows, L]."""
        starts = tf.gather(self.splits.value, chunk.feature_ids)
        ends = tf.gather(self.splits.value, chunk.feature_ids + 1)
        page_ranges = tf.raw_ops.RaggedRange(
            starts=starts, limits=ends, deltas=1
        )
        pages, splits = (
            page_ranges.rt_dense_values,
            page_ranges.rt_nested_splits,
        )
        # Which entry of the rows each page belongs to.
        entries = tf.searchsorted(
            splits[1:], tf.range(tf.size(pages, tf.int64)), side="right"
        )
        products = tf.gather(self.kernel.value, pages)
        products *= tf.gather(chunk.values, entries)[:, None]
        # A weighted histogram of the labels: the fastest op that sums numbers
        # by index.
        cosines = tf.raw_ops.RaggedBincount(
            splits=tf.gather(splits, chunk.splits) * PAGE,
            values=tf.reshape(tf.gather(self.labels.value, pages), [-1]),
            size=self.num_labels,
            weights=tf.reshape(products, [-1]),
        )
        return tf.reshape(cosines, [chunk.num_rows, self.num_labels])


def _logits_of(cosines: tf.Tensor) -> tf.Tensor:
    return _SLOPE * (cosines - _MIDDLE)
