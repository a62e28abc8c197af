"""A block of outputs: what every head is made of.

# N instances, H units of the encoder, D features, B outputs

A label block of the sigmoid head and a repetition of MACH are the same thing: a
kernel, a bias, and the sigmoid cross-entropy of their logits.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tfxml.models import device_scope, sparse_rows
from tfxml.models.losses import sigmoid_cross_entropy


class OutputBlock(keras.layers.Layer):
    """Logits over B outputs, from dense [N, H] or straight from sparse rows.

    Args:
        num_outputs: B.
        input_dim: H, or D where `is_linear`.
        priors: [B], the share of the instances in which each output is
            positive; the bias starts at its logit.
        is_linear: whether the input is the sparse rows themselves, as in
            linear one-vs-rest.
        seed: of the initial kernel.
        device: where weights lie and are used; None for anywhere.
    """

    def __init__(
        self,
        num_outputs: int,
        input_dim: int,
        priors: np.ndarray | None = None,
        is_linear: bool = False,
        seed: int = 0,
        device: str | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_outputs = num_outputs
        self.is_linear = is_linear
        self.device = device
        with device_scope.on(device):
            self._add_weights(input_dim, priors, seed)
        self.built = True

    def _add_weights(self, input_dim: int, priors, seed: int) -> None:
        num_outputs, is_linear = self.num_outputs, self.is_linear
        # Small at first: a label's logit starts at its prior.
        small = keras.initializers.RandomNormal(stddev=0.01, seed=seed)
        self.kernel = self.add_weight(
            name="kernel",
            # A linear block's kernel is read by feature, a dense one's by
            # output.
            shape=(
                (input_dim, num_outputs)
                if is_linear
                else (num_outputs, input_dim)
            ),
            initializer="zeros" if is_linear else small,
        )
        self.bias = self.add_weight(
            name="bias", shape=(num_outputs,), initializer="zeros"
        )
        if priors is not None:
            self.bias.assign(_prior_logits(priors))

    def logits(self, encoded) -> tf.Tensor:
        """Returns [N, B]."""
        with device_scope.on(self.device):
            if self.is_linear:
                product = sparse_rows.matmul(encoded, [self.kernel.value])
            else:
                product = tf.matmul(encoded, self.kernel, transpose_b=True)
            return product + self.bias

    def loss(
        self,
        encoded,
        positives: sigmoid_cross_entropy.Positives,
        weights: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the weighted sum of the block's cross-entropies."""
        with device_scope.on(self.device):
            if self.is_linear:
                return sigmoid_cross_entropy.sigmoid_cross_entropy(
                    self.logits(encoded), positives, weights
                )
            return sigmoid_cross_entropy.dense_sigmoid_cross_entropy(
                encoded,
                tf.convert_to_tensor(self.kernel),
                tf.convert_to_tensor(self.bias),
                positives,
                weights,
            )


def _prior_logits(priors: np.ndarray) -> np.ndarray:
    """Returns the logits of `priors`, kept finite."""
    priors = np.clip(priors, 1e-8, 1 - 1e-4)
    return np.log(priors / (1 - priors)).astype(np.float32)
