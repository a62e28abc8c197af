"""The MACH head: R small classifiers over hashed labels, and their agreement.

# N instances, L labels, R repetitions, B buckets, K top labels

Medini et al., "Extreme classification in log memory using count-min sketch",
NeurIPS 2019.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tfxml.mach import decode, hashing
from tfxml.mach.threshold import crossings, exact_top_k
from tfxml.models import blocks
from tfxml.models.losses import sigmoid_cross_entropy
from tfxml.topk import dropping

# The threshold decode is chosen from here on. It is faster from 41,000 on
# (benchmarks/decode.md), but decodes twice what it cannot certify.
_MANY_LABELS = 65_000


@keras.saving.register_keras_serializable(package="tfxml")
class MachHead(keras.layers.Layer):
    """R repetitions, each a sigmoid classifier over B buckets.

    Several labels of an instance in one bucket combine by OR.

    Args:
        num_labels: L.
        hashes: R hashes of label ids, one a repetition.
        input_dim: the encoders' width, or the number of features where
            `is_linear`.
        label_priors: [L], the share of the instances that carry each label.
        estimator: how the repetitions' scores combine; see `decode.ESTIMATORS`.
        is_linear: whether there is no encoder.
        seeds: R seeds of the initial weights, one a repetition.
        devices: where each repetition lies, R of them; None for anywhere.
        decode_by: how the best labels are found: `exhaustive`, `threshold`,
            or `auto`, by cost; the answer is the same.
        dropped: ids of labels that are never answered.
    """

    def __init__(
        self,
        num_labels: int,
        hashes: Sequence[hashing.UniversalHash],
        input_dim: int,
        label_priors: np.ndarray | None = None,
        estimator: str = "logit",
        is_linear: bool = False,
        seeds: Sequence[int] | None = None,
        devices: Sequence[str] | None = None,
        decode_by: str = "auto",
        dropped: Sequence[int] = (),
        **kwargs,
    ):
        super().__init__(**kwargs)
        decode.check_estimator(estimator)
        if not hashes:
            raise ValueError("`hashes` must hold at least one. Received: none")
        self.num_labels = num_labels
        self.input_dim = input_dim
        self.is_linear = is_linear
        self.hashes = tuple(hashes)
        self.estimator = estimator
        self.decode_by = decode_by
        self.dropped = dropping.checked(dropped, num_labels)
        self._crossings = None
        log_absent = None
        if label_priors is not None:
            log_absent = np.log1p(-np.minimum(label_priors, 1 - 1e-9))
        seeds = range(len(self.hashes)) if seeds is None else seeds
        devices = [None] * len(self.hashes) if devices is None else devices
        self.blocks = [
            blocks.OutputBlock(
                one.num_buckets,
                input_dim,
                bucket_priors(one, log_absent),
                is_linear,
                seed=seed,
                device=device,
            )
            for one, seed, device in zip(
                self.hashes, seeds, devices, strict=True
            )
        ]
        self.built = True

    def get_config(self) -> dict:
        """Returns what makes the head again, but for its weights."""
        return {
            **super().get_config(),
            "num_labels": self.num_labels,
            "hashes": [dataclasses.asdict(one) for one in self.hashes],
            "input_dim": self.input_dim,
            "estimator": self.estimator,
            "is_linear": self.is_linear,
            "decode_by": self.decode_by,
            "dropped": self.dropped.tolist(),
        }

    @classmethod
    def from_config(cls, config: dict) -> MachHead:
        """Returns the head that `get_config` describes."""
        hashes = [hashing.UniversalHash(**one) for one in config["hashes"]]
        return cls(**{**config, "hashes": hashes})

    def logits(self, encoded: Sequence) -> list[tf.Tensor]:
        """Returns each repetition's bucket logits, R tensors [N, B]."""
        return [
            repetition.logits(one)
            for repetition, one in zip(
                self.blocks,
                _for_repetitions(encoded, len(self.blocks)),
                strict=True,
            )
        ]

    def loss(
        self,
        encoded: Sequence,
        labels: sigmoid_cross_entropy.Positives,
        weights: tf.Tensor,
        repetitions: range | None = None,
    ) -> tf.Tensor:
        """Returns sum_i w_i sum_r sum_b cross-entropy, a scalar.

        The repetitions' losses add, so that a repetition's gradient is the same
        whichever other repetitions are trained beside it.

        Args:
            encoded: a tensor a encoder; their number divides that of
            repetitions. labels: the label ids of the batch, as positives.
            weights: [N]. repetitions: which repetitions' losses are added;
            None: all R.
        """
        repetitions = (
            range(len(self.blocks)) if repetitions is None else repetitions
        )
        return tf.add_n(
            [
                self.blocks[repetition].loss(
                    one, _buckets_of(labels, self.hashes[repetition]), weights
                )
                for repetition, one in zip(
                    repetitions,
                    _for_repetitions(encoded, len(repetitions)),
                    strict=True,
                )
            ]
        )

    def top_k(
        self, encoded: Sequence, k: int, estimator: str | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best labels' scores and ids, [N, K] each."""
        estimator = estimator or self.estimator
        logits = self.logits(encoded)
        estimates, label_ids = self._best_estimates(logits, k, estimator)
        return self.scores(logits, estimates, estimator), label_ids

    def scores(
        self,
        logits: Sequence[tf.Tensor],
        estimates: tf.Tensor,
        estimator: str | None = None,
    ) -> tf.Tensor:
        """Returns what labels of these estimates are shown with, [N, K].

        A probability for `min` and `median`, the sigmoid of the mean logit for
        `logit`, and for `mean` the unbiased estimate, which can fall below 0.

        Args:
            logits: what `logits` returns.
            estimates: [N, K], what the estimator makes of them.
            estimator: which one; None: the head's.
        """
        estimator = estimator or self.estimator
        if estimator == "logit":
            return tf.nn.sigmoid(estimates)
        if estimator != "mean" or not self.has_collisions():
            return estimates
        masses = [
            tf.reduce_sum(tf.nn.sigmoid(one), axis=1, keepdims=True)
            for one in logits
        ]
        return decode.unbiased_mean(
            estimates,
            tf.add_n(masses) / len(masses),
            self.hashes[0].num_buckets,
        )

    def _best_estimates(self, bucket_logits, k: int, estimator: str):
        if not self.decodes_by_threshold():
            return decode.top_k(
                bucket_logits,
                self.hashes,
                self.num_labels,
                k,
                estimator,
                dropped=self.dropped,
            )
        return exact_top_k.exact_top_k(
            bucket_logits, self.hashes, self.bucket_crossings(), k, estimator
        )

    def decodes_by_threshold(self) -> bool:
        """Tells which decode finds the best labels.

        Raises:
            ValueError: if it must be `threshold` and the hashes are not made
                for it.
        """
        can_serve = crossings.can_serve(self.hashes, self.num_labels)
        if self.decode_by == "threshold" and not can_serve:
            raise ValueError(
                "`decode_by` must not be 'threshold' for fewer than two "
                "hashes, or hashes of version 1. "
                f"Received: decode_by={self.decode_by!r}"
            )
        if self.decode_by != "auto":
            return self.decode_by == "threshold"
        return can_serve and self.num_labels >= _MANY_LABELS

    def bucket_crossings(self) -> crossings.Crossings:
        """Returns the tables of the threshold decode, made when first asked."""
        if self._crossings is None:
            with tf.init_scope():
                self._crossings = crossings.make(
                    self.hashes, self.num_labels, self.dropped
                )
        return self._crossings

    def has_collisions(self) -> bool:
        """Tells whether labels may share a bucket, so that means need care."""
        return any(
            one != hashing.identity(one.num_buckets)
            or one.num_buckets < self.num_labels
            for one in self.hashes
        )


def bucket_priors(
    label_hash: hashing.UniversalHash, log_absent: np.ndarray | None
) -> np.ndarray | None:
    """Returns how probable each bucket is, [B], were labels independent.

    `log_absent` are the logarithms of the labels' probabilities not to be
    there, [L].
    """
    if log_absent is None:
        return None
    total = np.zeros(label_hash.num_buckets)
    for start, buckets in label_hash.blocks(len(log_absent)):
        some = log_absent[start : start + len(buckets)]
        total += np.bincount(buckets, some, label_hash.num_buckets)
    return -np.expm1(total)


def _buckets_of(
    labels: sigmoid_cross_entropy.Positives, label_hash: hashing.UniversalHash
) -> sigmoid_cross_entropy.Positives:
    """Returns the batch's positive buckets, each once (OR)."""
    num_buckets = label_hash.num_buckets
    buckets = label_hash(labels.columns)
    if labels.rows.shape.rank == 2:
        return sigmoid_cross_entropy.Positives(
            labels.rows, buckets, _weights_once(buckets, labels.weights)
        )
    keys = tf.cast(labels.rows, tf.int64) * num_buckets + tf.cast(
        buckets, tf.int64
    )
    keys, places = tf.unique(keys)
    return sigmoid_cross_entropy.Positives(
        tf.cast(keys // num_buckets, tf.int32),
        tf.cast(keys % num_buckets, tf.int32),
        tf.math.unsorted_segment_max(labels.weights, places, tf.size(keys)),
    )


def _weights_once(buckets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Returns weights [N, P], 0 where an earlier label has the same bucket.

    No shape follows from values: a TPU could not compile it.
    """
    most = tf.shape(buckets)[1]
    places = tf.range(most)
    is_same = tf.equal(buckets[:, :, None], buckets[:, None, :])
    is_label = weights[:, None, :] > 0
    first = tf.reduce_min(tf.where(is_same & is_label, places, most), axis=2)
    return tf.where(tf.equal(first, places), weights, 0.0)


def _for_repetitions(encoded: Sequence, num_repetitions: int) -> list:
    """Returns what each repetition reads; runs of equal size share encoders."""
    num_encoders = len(encoded)
    if num_repetitions % num_encoders:
        raise ValueError(
            f"`encoded` must hold a number of tensors that divides the "
            f"{num_repetitions} repetitions. Received: {num_encoders}"
        )
    return [
        encoded[repetition * num_encoders // num_repetitions]
        for repetition in range(num_repetitions)
    ]
