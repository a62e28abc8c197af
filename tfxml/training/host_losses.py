"""Losses by compiled loops, inside TensorFlow's graphs.

# N instances, B outputs of a block

TensorFlow takes ten passes over the logits of a block, one for each operation.
The loops of `cpu/loss_loops.py` take one.
"""

from __future__ import annotations

import tensorflow as tf

from tfxml.cpu import loss_steps
from tfxml.models import contract
from tfxml.models.losses import fused, sigmoid_cross_entropy


def create() -> dict[type, fused.HostLoss]:
    """Returns the losses for `fused.computed_by`."""
    steps = loss_steps.SigmoidCrossEntropy()

    def of_sigmoids(
        products: tf.Tensor,
        bias: tf.Tensor,
        positives: contract.Positives,
        weights: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        total, d_logits, d_bias = tf.numpy_function(
            steps,
            [
                products,
                bias,
                weights,
                positives.rows,
                positives.columns,
                positives.weights,
            ],
            [tf.float32] * 3,
        )
        return (
            tf.ensure_shape(total, []),
            tf.ensure_shape(d_logits, products.shape),
            tf.ensure_shape(d_bias, bias.shape),
        )

    return {sigmoid_cross_entropy.SigmoidCrossEntropy: of_sigmoids}
