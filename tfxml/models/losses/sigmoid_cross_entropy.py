"""Sigmoid cross-entropy from sparse positives, without a dense target.

# N instances, B outputs of a block, P positives of a block; of padded rows
# [N, P], P the most of a row

With z the logits and y the 0/1 targets, the loss is
sum_ij w_i softplus(z_ij) - sum over the positives of w_i z_ij, and its gradient
is w_i (sigmoid(z_ij) - y_ij). Neither needs y as a matrix.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfxml.models import calibration, contract, pointwise


class SigmoidCrossEntropy(contract.Loss):
    """Cross-entropy of each output on its own: independent sigmoids."""

    separates = True
    link = calibration.SIGMOID

    def value(
        self,
        logits: tf.Tensor,
        positives: contract.Positives,
        weights: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the weighted sum of the cross-entropies, a scalar."""
        places = tf.stack([positives.rows, positives.columns], axis=-1)
        row_losses = tf.reduce_sum(tf.nn.softplus(logits), axis=1)
        hits = tf.gather_nd(logits, places)
        return tf.reduce_sum(weights * row_losses) - tf.reduce_sum(
            positives.weights * hits
        )

    def logit_gradient(
        self,
        logits: tf.Tensor,
        positives: contract.Positives,
        weights: tf.Tensor,
    ) -> tf.Tensor:
        """Returns w_i (sigmoid(z_ij) - y_ij), [N, B]."""
        places = tf.stack([positives.rows, positives.columns], axis=-1)
        return tf.tensor_scatter_nd_sub(
            weights[:, None] * tf.nn.sigmoid(logits), places, positives.weights
        )

    def prior_bias(self, priors: np.ndarray) -> np.ndarray:
        """Returns the logits of `priors` [B], kept finite."""
        return pointwise.logits_of(priors)
