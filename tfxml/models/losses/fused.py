"""A loss whose gradients are made while the logits are at hand.

# N instances, H units, B outputs of a block
"""

from __future__ import annotations

import tensorflow as tf

from tfxml.models import contract


def of_product(
    loss: contract.Loss,
    encoded: tf.Tensor,
    kernel: tf.Tensor,
    bias: tf.Tensor,
    positives: contract.Positives,
    weights: tf.Tensor,
) -> tf.Tensor:
    """Returns the loss of the logits encoded [N, H] x kernel [B, H]^T + bias.

    Forward and backward are one pass: the gradients are made while the block's
    logits are at hand, so that no logits outlive their block. (The skip-loss
    of Renee, Jain et al., MLSys 2023, is the same idea.)
    """

    @tf.custom_gradient
    def value(encoded, kernel, bias):
        logits = tf.matmul(encoded, kernel, transpose_b=True) + bias
        d_logits = loss.logit_gradient(logits, positives, weights)
        d_encoded = tf.matmul(d_logits, kernel)
        d_kernel = tf.matmul(d_logits, encoded, transpose_a=True)
        d_bias = tf.reduce_sum(d_logits, axis=0)

        def gradient(upstream):
            return (
                upstream * d_encoded,
                upstream * d_kernel,
                upstream * d_bias,
            )

        return loss.value(logits, positives, weights), gradient

    if loss.has_logit_gradient:
        return value(encoded, kernel, bias)
    logits = tf.matmul(encoded, kernel, transpose_b=True) + bias
    return loss.value(logits, positives, weights)
