"""Sigmoid cross-entropy from sparse positives, without a dense target.

# N instances, H units, B outputs of a block, P positives of a block; of
# padded rows [N, P], P the most of a row

With z the logits and y the 0/1 targets, the loss is
sum_ij w_i softplus(z_ij) - sum over the positives of w_i z_ij, and its gradient
is w_i (sigmoid(z_ij) - y_ij). Neither needs y as a matrix.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf


class Positives(NamedTuple):
    """The places of a block's targets that are 1, [P] or padded [N, P]."""

    rows: tf.Tensor  # int32
    columns: tf.Tensor  # int32
    weights: tf.Tensor  # the weight of the row; 0 where there is none


def sigmoid_cross_entropy(
    logits: tf.Tensor, positives: Positives, weights: tf.Tensor
) -> tf.Tensor:
    """Returns the weighted sum of the cross-entropies of logits [N, B]."""

    @tf.custom_gradient
    def loss(logits):
        def gradient(upstream):
            return upstream * _logit_gradient(logits, positives, weights)

        return _loss(logits, positives, weights), gradient

    return loss(logits)


def dense_sigmoid_cross_entropy(
    encoded: tf.Tensor,
    kernel: tf.Tensor,
    bias: tf.Tensor,
    positives: Positives,
    weights: tf.Tensor,
) -> tf.Tensor:
    """Returns the loss of the logits encoded [N, H] x kernel [B, H]^T + bias.

    Forward and backward are one pass: the gradients are made while the block's
    logits are at hand, so that no logits outlive their block. (The skip-loss
    of Renee, Jain et al., MLSys 2023, is the same thought.)
    """

    @tf.custom_gradient
    def loss(encoded, kernel, bias):
        logits = tf.matmul(encoded, kernel, transpose_b=True) + bias
        d_logits = _logit_gradient(logits, positives, weights)
        d_encoded = tf.matmul(d_logits, kernel)
        d_kernel = tf.matmul(d_logits, encoded, transpose_a=True)
        d_bias = tf.reduce_sum(d_logits, axis=0)

        def gradient(upstream):
            return (
                upstream * d_encoded,
                upstream * d_kernel,
                upstream * d_bias,
            )

        return _loss(logits, positives, weights), gradient

    return loss(encoded, kernel, bias)


def _loss(logits, positives, weights):
    places = tf.stack([positives.rows, positives.columns], axis=-1)
    row_losses = tf.reduce_sum(tf.nn.softplus(logits), axis=1)
    hits = tf.gather_nd(logits, places)
    return tf.reduce_sum(weights * row_losses) - tf.reduce_sum(
        positives.weights * hits
    )


def _logit_gradient(logits, positives, weights):
    places = tf.stack([positives.rows, positives.columns], axis=-1)
    return tf.tensor_scatter_nd_sub(
        weights[:, None] * tf.nn.sigmoid(logits), places, positives.weights
    )
