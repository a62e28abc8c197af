"""Softmax cross-entropy: one label, or one bucket, an instance.

# N instances, B outputs, P positives

With z the logits, the loss of an instance with one positive y is
logsumexp(z) - z_y. An instance with several positives has their mean, so that
its targets add up to 1 whatever their number. An instance without a positive
has no loss. In MACH each repetition has a softmax over its own buckets, which
is the multiclass form of Medini et al., NeurIPS 2019.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfxml.models import calibration, contract, sparse_labels


class SoftmaxCrossEntropy(contract.Loss):
    """Cross-entropy of a softmax over all outputs of a repetition."""

    separates = False  # the normaliser runs over all outputs
    is_multiclass = True
    link = calibration.SIGMOID

    def value(
        self,
        logits: tf.Tensor,
        positives: contract.Positives,
        weights: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the weighted sum of the cross-entropies, a scalar."""
        places = tf.stack([positives.rows, positives.columns], axis=-1)
        shares, totals = sparse_labels.shares(
            positives, tf.shape(logits)[0], weights
        )
        normalizers = tf.reduce_logsumexp(logits, axis=1)
        hits = tf.gather_nd(logits, places)
        return tf.reduce_sum(totals * normalizers) - tf.reduce_sum(
            shares * hits
        )

    def logit_gradient(
        self,
        logits: tf.Tensor,
        positives: contract.Positives,
        weights: tf.Tensor,
    ) -> tf.Tensor:
        """Returns w_i (softmax(z)_ij - y_ij / sum_j y_ij), [N, B]."""
        places = tf.stack([positives.rows, positives.columns], axis=-1)
        shares, totals = sparse_labels.shares(
            positives, tf.shape(logits)[0], weights
        )
        return tf.tensor_scatter_nd_sub(
            totals[:, None] * tf.nn.softmax(logits), places, shares
        )

    def prior_bias(self, priors: np.ndarray) -> np.ndarray:
        """Returns the logarithms of `priors` [B], kept finite."""
        return np.log(np.clip(priors, 1e-8, 1.0)).astype(np.float32)

    def normalized(self, logits: tf.Tensor) -> tf.Tensor:
        """Returns the logits of the outputs' probabilities, [N, B]."""
        log_p = tf.nn.log_softmax(logits)
        # log(1 - p), kept finite where p is 1 to float32.
        log_rest = tf.math.log1p(-tf.minimum(tf.exp(log_p), 1 - 1e-7))
        return log_p - log_rest
