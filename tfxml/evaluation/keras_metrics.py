"""The ranking metrics as `keras.metrics.Metric`, for `model.compile`.

# N instances, L labels, K top labels, P the most labels of an instance

The definitions are those of `metrics.RankingMetrics`: all instances count,
P@k divides by k, and PSP@k is a ratio of totals. Values are shares, in [0, 1],
as Keras' metrics are. A metric keeps two sums and divides last.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfxml.models import contract, keras_strategies, sparse_labels
from tfxml.topk import selection


class RankingMetric(keras.metrics.Metric):
    """A ratio of two sums over instances, of their K best labels.

    Args:
        k: how many labels count.
        head: whose logits they are. Only needed if the model changes the
            output of a `MachHead` before it reaches the metric.
        name: of the metric; None: its usual one, like `P@5`.
    """

    usual_name: str

    def __init__(
        self,
        k: int,
        head: contract.Head | None = None,
        name: str | None = None,
        **kwargs,
    ):
        if k < 1:
            raise ValueError(f"`k` must be at least 1. Received: {k=}")
        super().__init__(name=name or f"{self.usual_name}@{k}", **kwargs)
        self.k = k
        self.head = head
        self._total = self.add_weight(name="total", initializer="zeros")
        self._best = self.add_weight(name="best", initializer="zeros")

    def update_state(
        self,
        y_true: Any,
        y_pred: tf.Tensor,
        sample_weight: tf.Tensor | None = None,
    ) -> None:
        """Adds a batch.

        Args:
            y_true: label ids, ragged, padded with -1, or a sparse tensor.
            y_pred: logits of a `SigmoidHead` [N, L] or `MachHead` [N, R, B].
            sample_weight: [N], or None.
        """
        keras_strategies.check_counts()
        total, best = self.sums(y_true, y_pred, sample_weight)
        self._total.assign(self._total + total)
        self._best.assign(self._best + best)

    def sums(
        self,
        y_true: Any,
        y_pred: tf.Tensor,
        sample_weight: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns what a batch adds to the numerator and the denominator."""
        weights = sparse_labels.row_weights(y_true, sample_weight)
        label_ids = sparse_labels.padded(y_true)
        top_ids = top_labels(y_pred, self.k, self.head)
        # [N, K]: whether each of the best labels is one of the instance's.
        is_hit = tf.reduce_any(
            tf.equal(top_ids[:, :, None], label_ids[:, None, :]), axis=2
        )
        return self._sums(is_hit, top_ids, label_ids, weights)

    def _sums(self, is_hit, top_ids, label_ids, weights):
        raise NotImplementedError

    def result(self) -> tf.Tensor:
        """Returns the ratio of the sums, 0 before the first batch."""
        return tf.math.divide_no_nan(
            tf.convert_to_tensor(self._total), tf.convert_to_tensor(self._best)
        )

    def get_config(self) -> dict:
        """Returns the arguments of the constructor; a head is not kept."""
        return {**super().get_config(), "k": self.k}


@keras.saving.register_keras_serializable(package="tfxml")
class PrecisionAtK(RankingMetric):
    """P@k: the share of the k best labels that are right."""

    usual_name = "P"

    def _sums(self, is_hit, top_ids, label_ids, weights):
        hits = tf.reduce_sum(tf.cast(is_hit, tf.float32), axis=1)
        return (
            tf.reduce_sum(weights * hits) / self.k,
            tf.reduce_sum(weights),
        )


@keras.saving.register_keras_serializable(package="tfxml")
class RecallAtK(RankingMetric):
    """Recall@k: the share of an instance's labels among the k best."""

    usual_name = "Recall"

    def _sums(self, is_hit, top_ids, label_ids, weights):
        hits = tf.reduce_sum(tf.cast(is_hit, tf.float32), axis=1)
        counts = _counts(label_ids)
        recall = tf.math.divide_no_nan(hits, counts)
        return tf.reduce_sum(weights * recall), tf.reduce_sum(weights)


@keras.saving.register_keras_serializable(package="tfxml")
class NDCGAtK(RankingMetric):
    """nDCG@k: discounted hits over those of the best ranking."""

    usual_name = "nDCG"

    def _sums(self, is_hit, top_ids, label_ids, weights):
        discounts = 1 / np.log2(np.arange(2, self.k + 2))
        width = is_hit.shape[1]
        dcg = tf.reduce_sum(
            tf.cast(is_hit, tf.float32) * discounts[:width].astype(np.float32),
            axis=1,
        )
        # best[c]: of an instance with c labels.
        best_dcg = np.concatenate([[0.0], np.cumsum(discounts)]).astype(
            np.float32
        )
        counts = tf.minimum(tf.cast(_counts(label_ids), tf.int32), self.k)
        ndcg = tf.math.divide_no_nan(dcg, tf.gather(best_dcg, counts))
        return tf.reduce_sum(weights * ndcg), tf.reduce_sum(weights)


@keras.saving.register_keras_serializable(package="tfxml")
class PSPrecisionAtK(RankingMetric):
    """PSP@k: hits weighted by inverse propensity, over the most there can be.

    Jain et al., "Extreme Multi-label Loss Functions", KDD 2016.

    Args:
        k: how many labels count.
        inverse_propensities: [L], what `metrics.inverse_propensities` returns
            of the training split's label counts.
        head: see `RankingMetric`.
        name: of the metric.
    """

    usual_name = "PSP"

    def __init__(
        self,
        k: int,
        inverse_propensities: npt.ArrayLike,
        head: contract.Head | None = None,
        name: str | None = None,
        **kwargs,
    ):
        super().__init__(k, head, name, **kwargs)
        self._inverse = np.asarray(inverse_propensities, np.float32)

    def _sums(self, is_hit, top_ids, label_ids, weights):
        inverse = tf.constant(self._inverse)
        gains = tf.where(is_hit, tf.gather(inverse, tf.maximum(top_ids, 0)), 0)
        label_gains = tf.where(
            label_ids >= 0, tf.gather(inverse, tf.maximum(label_ids, 0)), 0.0
        )
        # As wide as k at least, so that the k best exist.
        label_gains = tf.pad(label_gains, [[0, 0], [0, self.k]])
        best = tf.reduce_sum(tf.math.top_k(label_gains, self.k).values, axis=1)
        return (
            tf.reduce_sum(weights * tf.reduce_sum(gains, axis=1)),
            tf.reduce_sum(weights * best),
        )

    def get_config(self) -> dict:
        """Returns the arguments of the constructor; a head is not kept."""
        return {
            **super().get_config(),
            "inverse_propensities": self._inverse.tolist(),
        }


def top_labels(
    y_pred: tf.Tensor, k: int, head: contract.Head | None = None
) -> tf.Tensor:
    """Returns the best labels of a head's logits, [N, at most k] int32."""
    head = sparse_labels.head_of(y_pred, head)
    if head is not None:
        return head.logits_top_k(tf.cast(y_pred, tf.float32), k)[1]
    if y_pred.shape.rank != 2:  # of shape inference, which has no head
        return tf.zeros([tf.shape(y_pred)[0], k], tf.int32)
    num_labels = y_pred.shape[1]
    return selection.top_k(tf.cast(y_pred, tf.float32), min(k, num_labels))[1]


def _counts(label_ids: tf.Tensor) -> tf.Tensor:
    """Returns how many labels each instance has, [N]."""
    return tf.reduce_sum(tf.cast(label_ids >= 0, tf.float32), axis=1)
